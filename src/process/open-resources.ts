import { trace } from '@opentelemetry/api';
import { sql } from 'drizzle-orm';
import pino, { type Logger } from 'pino';
import pretty from 'pino-pretty';
import type { AppResources } from '../app/resources.ts';
import { ensureDefaultKey } from '../accounts/accounts.ts';
import { accountConnections, type Config, hasContainerRole, tracesUrl } from '../config/config.ts';
import { openDatabase } from '../db/client.ts';
import { redactDatabaseUrl } from '../db/database-address.ts';
import { watchRepairs } from '../db/as-of.ts';
import { migrate } from '../db/migrate.ts';
import { BYPASSES_RLS_SQL } from '../db/policies.ts';
import { openQueue } from '../db/queue.ts';
import { requestLogFields } from '../http/request-context.ts';
import type { ObjectStore } from '../exports/object-store.ts';
import { openS3, type S3Credentials } from '../exports/s3.ts';
import { systemClock } from '../lib/clock.ts';
import { escapeForTerminal, escapeLogLine } from '../lib/escape-log-lines.ts';
import { scrubError } from '../lib/scrub-error.ts';
import { formatPrettyLine } from '../lib/pretty-log-lines.ts';
import { openMail } from '../notify/mail.ts';
import type { OpenTracer } from '../telemetry/open-tracer.ts';

export const createLogger = (config: Pick<Config, 'logLevel' | 'logFormat'>): Logger => {
  const asPretty = config.logFormat === 'pretty' || (config.logFormat === 'auto' && process.stderr.isTTY);
  const options = {
    level: config.logLevel,
    base: null,
    serializers: { err: scrubError },
    mixin: requestLogFields,
    formatters: { log: withRoundSeconds },
    hooks: { streamWrite: asPretty ? (line: string) => escapeForTerminal(formatPrettyLine(line)) : escapeLogLine },
  };
  // To standard error, so that standard output stays free for what a command answers.
  return asPretty
    ? pino(
        options,
        pretty({ destination: 2, sync: true, ignore: 'pid,hostname', translateTime: 'SYS:HH:MM:ss', singleLine: true }),
      )
    : pino({ ...options, timestamp: pino.stdTimeFunctions.isoTime }, pino.destination({ dest: 2, sync: false }));
};

/** To microseconds: the digits behind them are noise of the floating point. */
const withRoundSeconds = (fields: Record<string, unknown>): Record<string, unknown> =>
  typeof fields['seconds'] === 'number' ? { ...fields, seconds: Number(fields['seconds'].toFixed(6)) } : fields;

/** Without its stack: where a lost connection was noticed says nothing, and one restart of the database loses many. */
const reasonOf = (error: Error): { reason: string; code: string | undefined } => {
  const { message, code } = scrubError(error);
  return { reason: message, code };
};

/** A collector that is away is told so often, and not at every attempt. */
const TELL_AGAIN_MS = 60_000;

/** Without a collector, the tracer of @opentelemetry/api, which records nothing. */
const openConfiguredTracer = async (config: Config, log: Logger): Promise<OpenTracer> => {
  const url = tracesUrl(config);
  if (url === null) return { tracer: trace.getTracer('sluice'), close: () => Promise.resolve() };
  const { openTracer } = await import('../telemetry/open-tracer.ts');
  let toldAt = -Infinity;
  return openTracer({
    url,
    role: config.role,
    onError: (error) => {
      if (performance.now() - toldAt < TELL_AGAIN_MS) return;
      toldAt = performance.now();
      log.warn({ err: error }, 'traces could not be sent to the collector and are lost');
    },
  });
};

export interface ResourceOptions {
  readonly config: Config;
  readonly databaseUrl: string;
  readonly log: Logger;
  /** Where objects go; the S3 of the settings where left out. */
  readonly store?: ObjectStore;
}

export interface OpenResources extends AppResources {
  close(): Promise<void>;
}

export interface StoreOptions {
  readonly endpoint: string | null;
  readonly credentials?: S3Credentials;
  readonly forcePathStyle: boolean;
}

/** The S3 that exports are written to. */
export const openStore = (config: Config, options: StoreOptions): ObjectStore =>
  openS3({
    region: config.awsRegion,
    endpoint: options.endpoint ?? undefined,
    credentials: options.credentials,
    hasCredentialSource: hasContainerRole(),
    forcePathStyle: options.forcePathStyle,
    callTimeoutMs: config.leaseSeconds * 1000,
  });

/**
 * Brings the database up to date and opens everything an app needs; close() shuts it in the opposite order.
 * Errors: what the database or the queue said; nothing is left open then.
 */
export const openResources = async (options: ResourceOptions): Promise<OpenResources> => {
  const { config, databaseUrl, log } = options;
  const directUrl = config.databaseDirectUrl;
  const { applied, repaired } = await migrate(directUrl ?? databaseUrl);
  const { host, port, database: name } = redactDatabaseUrl(databaseUrl);
  log.info(
    { database: { host, port, database: name }, migrationsApplied: applied },
    applied === 0 ? 'the database is up to date' : 'the database was brought up to date',
  );
  if (repaired > 0) {
    log.warn(
      { accounts: repaired },
      'accounts were restored from a copy or moved to another node: their transaction ids were repaired, and unfinished runs start again',
    );
  }
  const repairs = watchRepairs(repaired, (accountId) =>
    log.warn(
      { accountId: String(accountId) },
      'an account came from another cluster or node: its transaction ids were repaired, and its unfinished runs start again',
    ),
  );
  const closes: (() => unknown)[] = [() => repairs.stop()];
  let isClosing = false;
  const closeAll = async (): Promise<void> => {
    isClosing = true;
    for (const close of closes.toReversed()) await close();
  };
  // A pool that ended has said goodbye, but not waited for it: an embedded database that is stopped next may be quicker.
  const onLost =
    (words: string) =>
    (error: Error): void => {
      if (!isClosing) log.warn(reasonOf(error), words);
    };
  try {
    const database = openDatabase({
      url: databaseUrl,
      directUrl,
      poolSize: config.databasePool,
      accountConnections: accountConnections(config),
      applicationName: 'sluice',
      statementTimeoutMs: config.statementTimeoutMs,
      onConnectionError: onLost('a database connection broke; the pool replaces it'),
    });
    closes.push(() => database.close());
    const { rows } = await database.acrossAccounts.execute<{ passes: boolean }>(sql.raw(BYPASSES_RLS_SQL));
    if (rows[0]?.passes) {
      log.warn(
        'the role of DATABASE_URL is a superuser or has BYPASSRLS: connect as one that only owns the database, so that row-level security parts the accounts too',
      );
    }
    if (config.apiKey !== null)
      await ensureDefaultKey({ db: database.acrossAccounts, clock: systemClock }, config.apiKey);
    const queue = openQueue({
      url: database.directUrl,
      applicationName: 'sluice-queue',
      worker: config.role !== 'api',
      onError: onLost('the queue was interrupted; it goes on by itself'),
    });
    closes.push(() => queue.stop({ graceful: false }));
    await queue.start();
    const store =
      options.store ?? openStore(config, { endpoint: config.s3Endpoint, forcePathStyle: config.s3ForcePathStyle });
    closes.push(() => store.close());
    const mail = config.smtpUrl === null ? null : openMail({ smtpUrl: config.smtpUrl, from: config.mailFrom });
    closes.push(() => mail?.close());
    const openTracer = await openConfiguredTracer(config, log);
    closes.push(() => openTracer.close());
    let closing: Promise<void> | undefined;
    return {
      config,
      database,
      queue,
      store,
      mail,
      log,
      clock: systemClock,
      tracer: openTracer.tracer,
      repairs,
      close: () => (closing ??= closeAll()),
    };
  } catch (error) {
    await closeAll();
    throw error;
  }
};
