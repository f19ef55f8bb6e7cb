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
import { throttle } from '../lib/throttle.ts';
import { formatPrettyLine } from '../lib/pretty-log-lines.ts';
import { openMail } from '../notify/mail.ts';
import type { OpenTracer } from '../telemetry/open-tracer.ts';

export function createLogger(config: Pick<Config, 'logLevel' | 'logFormat'>): Logger {
  const asPretty = config.logFormat === 'pretty' || (config.logFormat === 'auto' && process.stderr.isTTY);
  const options = {
    level: config.logLevel,
    base: null,
    serializers: { err: scrubError },
    mixin: requestLogFields,
    formatters: { log: withRoundSeconds },
    hooks: { streamWrite: asPretty ? (line: string) => escapeForTerminal(formatPrettyLine(line)) : escapeLogLine },
  };
  // To standard error, because standard output belongs to the results of commands.
  return asPretty
    ? pino(
        options,
        pretty({ destination: 2, sync: true, ignore: 'pid,hostname', translateTime: 'SYS:HH:MM:ss', singleLine: true }),
      )
    : pino({ ...options, timestamp: pino.stdTimeFunctions.isoTime }, pino.destination({ dest: 2, sync: false }));
}

/** Rounds seconds to microseconds; the digits after them are floating-point noise. */
function withRoundSeconds(fields: Record<string, unknown>): Record<string, unknown> {
  return typeof fields['seconds'] === 'number' ? { ...fields, seconds: Number(fields['seconds'].toFixed(6)) } : fields;
}

/** Log fields without the stack, which says nothing about a lost connection. A restart of the database loses many. */
function errorFields(error: Error): { reason: string; code: string | undefined } {
  const { message, code } = scrubError(error);
  return { reason: message, code };
}

/** Interval at which a failing collector is logged. */
const LOG_COLLECTOR_MS = 60_000;

/** Returns the tracer of @opentelemetry/api, which records nothing, if no collector is configured. */
async function openConfiguredTracer(config: Config, log: Logger): Promise<OpenTracer> {
  const url = tracesUrl(config);
  if (url === null) return { tracer: trace.getTracer('sluice'), close: () => Promise.resolve() };
  const { openTracer } = await import('../telemetry/open-tracer.ts');
  return openTracer({
    url,
    role: config.role,
    onError: throttle(LOG_COLLECTOR_MS, (error) =>
      log.warn({ err: error }, 'traces could not be sent to the collector and are lost'),
    ),
  });
}

export interface ResourceOptions {
  readonly config: Config;
  readonly databaseUrl: string;
  readonly log: Logger;
  /** The object store; the S3 of the settings if omitted. */
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

/** Opens the S3 that exports are written to. */
export function openStore(config: Config, options: StoreOptions): ObjectStore {
  return openS3({
    region: config.awsRegion,
    endpoint: options.endpoint ?? undefined,
    credentials: options.credentials,
    hasCredentialSource: hasContainerRole(),
    forcePathStyle: options.forcePathStyle,
    sendsAcl: config.s3Acl !== 'none',
    sendsChecksum: config.s3Checksum !== 'none',
    callTimeoutMs: config.leaseSeconds * 1000,
  });
}

/**
 * Migrates the database and opens everything that an app needs; close() closes it in the opposite order.
 * Throws the error of the database or the queue, and leaves nothing open then.
 */
export async function openResources(options: ResourceOptions): Promise<OpenResources> {
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
  // pool.end() does not wait until its connections have closed. An embedded database that is stopped next may close them first.
  const onLost =
    (words: string) =>
    (error: Error): void => {
      if (!isClosing) log.warn(errorFields(error), words);
    };
  try {
    const database = openDatabase({
      url: databaseUrl,
      directUrl,
      poolSize: config.databasePool,
      accountConnections: accountConnections(config),
      applicationName: 'sluice',
      statementTimeoutMs: config.statementTimeoutMs,
      onConnectionError: onLost('database connection lost; the pool replaces it'),
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
      onError: onLost('queue connection lost; reconnecting'),
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
}
