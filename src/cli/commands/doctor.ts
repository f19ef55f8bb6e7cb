import { sql } from 'drizzle-orm';
import { type Config, ConfigError, loadConfig, tracesUrl } from '../../config/config.ts';
import type { Database } from '../../db/client.ts';
import { type DatabaseAddress, redactDatabaseUrl } from '../../db/database-address.ts';
import { connectDirectly } from '../../db/direct-connection.ts';
import { systemClock } from '../../lib/clock.ts';
import type { LocalLog } from '../../local/log.ts';
import { type CheckReport, findingOf, openReport, wordsOf } from '../checks/check-report.ts';
import type { Terminal } from '../command-context.ts';
import { DATABASE_CHECKS } from '../checks/database-checks.ts';
import { type CommandDatabase, findDatabase, openCommandDatabase } from '../command-database.ts';
import { checkCollector, checkStore } from '../checks/endpoint-checks.ts';
import { checkReplica } from '../checks/replica-check.ts';
import { checkCluster } from './scale-out-check.ts';
import { broken, type Finding, ok, skipped, warn } from '../checks/check-result.ts';

export interface DoctorOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly terminal: Terminal;
  readonly log: LocalLog;
}

/** An impatient mail server's answer; a person waits for it. */
const MAIL_MS = 10_000;

/**
 * Looks at everything that a server needs, and says a line for each. Changes nothing, but that in local mode, where no server
 * runs, the embedded database is started and brought up to date as a start does.
 * Answers whether settings, database and migrations are sound; warnings do not count.
 */
export const doctorCommand = async ({ env, terminal, log }: DoctorOptions): Promise<boolean> => {
  const report = openReport(terminal);
  const { tell } = report;
  const { config, problems } = readSettings(env);
  for (const { message } of problems) tell('settings', broken(message));
  if (problems.length === 0) {
    tell('settings', ok(config.databaseUrl === null ? 'local mode: DATABASE_URL is not set' : `role ${config.role}`));
  }
  // Without it the embedded database would be looked at, which is not the one that was meant.
  if (problems.some(({ names }) => names.includes('DATABASE_URL')))
    tell('database', skipped('DATABASE_URL has to be put right first'));
  else await checkDatabase(config, log, report);
  tell('s3', await checkS3(config));
  tell('mail', await checkMail(config));
  const collector = tracesUrl(config);
  if (collector !== null) tell('traces', await checkCollector(collector));
  return report.isSound();
};

/** The settings with their problems; what is wrong is taken as if it were not set, so that the rest can be looked at. */
const readSettings = (env: DoctorOptions['env']): { config: Config; problems: ConfigError['problems'] } => {
  const problems: ConfigError['problems'][number][] = [];
  const left = { ...env };
  for (;;) {
    try {
      return { config: loadConfig(left), problems };
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      problems.push(...error.problems);
      for (const { names } of error.problems) for (const name of names) left[name] = undefined;
    }
  }
};

const checkDatabase = async (config: Config, log: LocalLog, report: CheckReport): Promise<void> => {
  const { tell } = report;
  let found: CommandDatabase;
  try {
    found = await findDatabase(config, log);
  } catch (error) {
    tell('database', broken(wordsOf(error)));
    return;
  }
  let database: Database;
  try {
    database = openCommandDatabase(found.url, found.directUrl);
  } catch (error) {
    // Such as a file of a certificate that is not there.
    tell('database', broken(wordsOf(error)));
    await found.close();
    return;
  }
  try {
    let reached = true;
    const place = found.place === 'configured' ? redactDatabaseUrl(found.url) : null;
    const attempt = (check: () => Promise<Finding>): Promise<Finding> => findingOf(check, place);
    const connected = await attempt(async () => {
      reached = false;
      await database.acrossAccounts.execute(sql`SELECT 1`);
      reached = true;
      return ok(PLACES[found.place](redactDatabaseUrl(found.url)));
    });
    tell('database', connected);
    const direct = await attempt(() => checkDirect(found.directUrl ?? found.url));
    // Without a pooler it is the same connection again.
    if (reached && (found.directUrl !== null || direct.verdict === 'broken')) tell('direct', direct);
    let hasTables = true;
    for (const { name, needsTables, check } of DATABASE_CHECKS) {
      if (!reached) {
        tell(name, skipped('the database is needed for it'));
      } else if (needsTables && !hasTables) {
        tell(name, skipped('waits for the migrations'));
      } else {
        const finding = await attempt(() => check({ db: database.acrossAccounts, clock: systemClock, config }));
        if (name === 'migrations') hasTables = finding.verdict !== 'broken';
        tell(name, finding);
      }
    }
    if (reached) await checkCluster({ db: database.acrossAccounts }, report, place);
    if (config.databaseReadUrl !== null) {
      tell(
        'replica',
        reached
          ? await checkReplica(database.acrossAccounts, config.databaseReadUrl)
          : skipped('the database is needed for it'),
      );
    }
  } finally {
    await database.close();
    await found.close();
  }
};

const checkDirect = async (url: string): Promise<Finding> => {
  const { host, port, database } = redactDatabaseUrl(url);
  const client = await connectDirectly(url, { applicationName: 'sluice-cli' });
  await client.end();
  return ok(`${database} on ${host}:${port}, for LISTEN, the queue and migrations`);
};

const PLACES: Record<CommandDatabase['place'], (place: DatabaseAddress) => string> = {
  configured: ({ host, port, database }) => `${database} on ${host}:${port}`,
  running: ({ host, port }) => `the embedded one of the server that runs, ${host}:${port}`,
  started: () => 'the embedded one, started for this; no server runs',
};

const checkS3 = async (config: Config): Promise<Finding> => {
  if (config.databaseUrl === null) return ok('local mode has one of its own');
  if (config.role === 'api') return ok('ROLE=api writes no exports');
  // Loading the SDK takes a quarter of a second, which no other command needs.
  const { canResolveS3Credentials } = await import('../../exports/s3-credentials.ts');
  if (!(await canResolveS3Credentials(config.awsRegion))) {
    return warn(
      'no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile or a role; exports fail until then',
    );
  }
  const found = `credentials found (not used here); region ${config.awsRegion}`;
  if (config.s3Endpoint === null) return ok(found);
  const store = await checkStore(config.s3Endpoint);
  return { ...store, words: `${found}; ${store.words}` };
};

const checkMail = async (config: Config): Promise<Finding> => {
  if (config.smtpUrl === null) return ok('SMTP_URL is not set: no mail is sent');
  const { openMail } = await import('../../notify/mail.ts');
  const mail = openMail({ smtpUrl: config.smtpUrl, from: config.mailFrom, timeoutMs: MAIL_MS });
  try {
    await mail.check();
    return ok(`the server of SMTP_URL takes mail from here`);
  } catch (error) {
    return warn(error instanceof Error ? error.message : String(error));
  } finally {
    mail.close();
  }
};
