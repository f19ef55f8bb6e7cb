import { sql } from 'drizzle-orm';
import { type Config, ConfigError, loadConfig, tracesUrl } from '../../config/config.ts';
import type { Database } from '../../db/client.ts';
import { type DatabaseAddress, redactDatabaseUrl } from '../../db/database-address.ts';
import { connectDirectly } from '../../db/direct-connection.ts';
import { systemClock } from '../../lib/clock.ts';
import type { LocalLog } from '../../local/log.ts';
import { type CheckReport, formatError, openReport, runCheck } from '../checks/check-report.ts';
import { broken, type CheckResult, ok, skipped, warn } from '../checks/check-result.ts';
import { checkCluster } from '../checks/cluster-checks.ts';
import { DATABASE_CHECKS } from '../checks/database-checks.ts';
import { checkCollector, checkStore } from '../checks/endpoint-checks.ts';
import { checkReplica } from '../checks/replica-check.ts';
import { type CommandDatabase, findDatabase, openCommandDatabase } from '../command-database.ts';
import type { PlainTerminal } from '../../terminal/terminal.ts';

export interface DoctorOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly terminal: PlainTerminal;
  readonly log: LocalLog;
}

/**
 * Prints one line per check of what a server needs. Changes nothing, except that in local mode without a running server it starts the
 * embedded PostgreSQL and migrates it, as a server does. Returns whether nothing is broken.
 */
export async function doctorCommand({ env, terminal, log }: DoctorOptions): Promise<boolean> {
  const checks = openReport(terminal);
  const { report } = checks;
  const { config, problems } = readSettings(env);
  for (const { message } of problems) report('settings', broken(message));
  if (problems.length === 0) {
    report('settings', ok(config.databaseUrl === null ? 'local mode: DATABASE_URL is not set' : `role ${config.role}`));
  }
  // Without DATABASE_URL the checks would use the embedded database, which is not the one of the operator.
  if (problems.some(({ names }) => names.includes('DATABASE_URL'))) {
    report('database', skipped('DATABASE_URL is not valid'));
  } else await checkDatabase(config, log, checks);
  report('s3', await checkS3(config));
  report('mail', await checkMail(config));
  const collector = tracesUrl(config);
  if (collector !== null) report('traces', await checkCollector(collector));
  return checks.isSound();
}

/** Reads the settings and their problems. Invalid settings are treated as missing, so that the other checks can run. */
function readSettings(env: DoctorOptions['env']): { config: Config; problems: ConfigError['problems'] } {
  const problems: ConfigError['problems'][number][] = [];
  const valid = { ...env };
  for (;;) {
    try {
      return { config: loadConfig(valid), problems };
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      problems.push(...error.problems);
      for (const { names } of error.problems) for (const name of names) valid[name] = undefined;
    }
  }
}

async function checkDatabase(config: Config, log: LocalLog, report: CheckReport): Promise<void> {
  await using opened = new AsyncDisposableStack();
  let found: CommandDatabase;
  let database: Database;
  try {
    found = opened.use(await findDatabase(config, log));
    // Throws if, for example, the file of a certificate does not exist.
    database = openCommandDatabase(found.url, found.directUrl);
    opened.defer(() => database.close());
  } catch (error) {
    report.report('database', broken(formatError(error)));
    return;
  }
  await runDatabaseChecks(config, found, database, report);
}

async function runDatabaseChecks(
  config: Config,
  { url, directUrl, origin }: CommandDatabase,
  { acrossAccounts: db }: Database,
  checks: CheckReport,
): Promise<void> {
  const { report } = checks;
  const address = origin === 'configured' ? redactDatabaseUrl(url) : null;
  const connected = await runCheck(async () => {
    await db.execute(sql`SELECT 1`);
    return ok(DESCRIPTIONS[origin](redactDatabaseUrl(url)));
  }, address);
  const isReached = connected.verdict === 'ok';
  report('database', connected);
  const direct = await runCheck(() => checkDirectConnection(directUrl ?? url), address);
  // Without a pooler both addresses are the same, so a second line would say nothing new.
  if (isReached && (directUrl !== null || direct.verdict === 'broken')) report('direct', direct);
  let hasTables = true;
  for (const { name, needsTables, check } of DATABASE_CHECKS) {
    if (!isReached) report(name, NEEDS_DATABASE);
    else if (needsTables && !hasTables) report(name, skipped('needs the pending migrations'));
    else {
      const result = await runCheck(() => check({ db, clock: systemClock, config }), address);
      if (name === 'migrations') hasTables = result.verdict !== 'broken';
      report(name, result);
    }
  }
  if (isReached) await checkCluster(db, checks, address);
  if (config.databaseReadUrl !== null) {
    report('replica', isReached ? await checkReplica(db, config.databaseReadUrl) : NEEDS_DATABASE);
  }
}

const NEEDS_DATABASE = skipped('needs the database');

async function checkDirectConnection(url: string): Promise<CheckResult> {
  const { host, port, database } = redactDatabaseUrl(url);
  const client = await connectDirectly(url, { applicationName: 'sluice-cli' });
  await client.end();
  return ok(`${database} on ${host}:${port}, for LISTEN, the queue and migrations`);
}

const DESCRIPTIONS: Record<CommandDatabase['origin'], (address: DatabaseAddress) => string> = {
  configured: ({ host, port, database }) => `${database} on ${host}:${port}`,
  running: ({ host, port }) => `the embedded PostgreSQL of the running server, ${host}:${port}`,
  started: () => 'the embedded PostgreSQL, started for this check because no server runs',
};

async function checkS3(config: Config): Promise<CheckResult> {
  if (config.databaseUrl === null) return ok('local mode has its own store');
  const sent = `S3_ACL=${config.s3Acl}, S3_CHECKSUM=${config.s3Checksum}`;
  if (config.role === 'api')
    return ok(`ROLE=api writes no exports; testDestination needs credentials here too; ${sent}`);
  // Imported here because loading the SDK takes a quarter of a second.
  const { canResolveS3Credentials } = await import('../../exports/s3-credentials.ts');
  if (!(await canResolveS3Credentials(config.awsRegion))) {
    return warn(
      'no credentials, so exports fail: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile or a role',
    );
  }
  const found = `credentials found (not tested); region ${config.awsRegion}; ${sent}`;
  if (config.s3Endpoint === null) return ok(found);
  const store = await checkStore(config.s3Endpoint);
  return { ...store, message: `${found}; ${store.message}` };
}

const MAIL_TIMEOUT_MS = 10_000;

async function checkMail(config: Config): Promise<CheckResult> {
  if (config.smtpUrl === null) return ok('SMTP_URL is not set, so no mail is sent');
  const { openMail } = await import('../../notify/mail.ts');
  const mail = openMail({ smtpUrl: config.smtpUrl, from: config.mailFrom, timeoutMs: MAIL_TIMEOUT_MS });
  try {
    await mail.check();
    return ok('the server of SMTP_URL accepts mail');
  } catch (error) {
    return warn(error instanceof Error ? error.message : String(error));
  } finally {
    mail.close();
  }
}
