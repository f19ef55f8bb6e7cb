import { randomBytes } from 'node:crypto';
import { createGraphQLClient } from '../support/graphql-client.ts';
import type { StepServer } from '../support/job-steps.ts';
import { urlOfDatabase, urlOfRole, withClient } from '../support/postgres-admin.ts';
import { type RestartablePostgres, startTestPostgres } from '../support/postgres-server.ts';
import type { TestServer } from '../support/server.ts';
import { type Settings, type SluiceProcess, startSluice } from '../support/sluice-process.ts';
import { startStrictS3, type StrictS3 } from '../support/strict-s3.ts';

/** A server in a process of its own. */
export interface ServerProcess extends StepServer, Pick<TestServer, 'request' | 'url' | 'key'> {
  readonly process: SluiceProcess;
}

/** A deployment: any number of servers with one durable database and one S3. */
export interface Deployment {
  readonly postgres: RestartablePostgres;
  /** `url` is for the test's own looks: as the superuser. The servers connect as a plain role that owns the database. */
  readonly database: { readonly url: string; readonly serverUrl: string };
  readonly s3: StrictS3;
  /** The ADMIN key of every server. */
  readonly key: string;
  /** Resolves when the server responds; throws with its output if it ends before, for example if the database is down. */
  startServer(settings?: Settings): Promise<ServerProcess>;
  /** Ends all that is left of it, the servers by SIGKILL. */
  close(): Promise<void>;
}

const DATABASE = 'sluice';
const ROLE = 'sluice_servers';

const BUCKETS = ['exports', 'other-exports'];

export interface DeploymentOptions {
  /** Names of the S3 buckets. An account writes to buckets of its own. */
  readonly buckets?: readonly string[];
  /** Whether committed data survives a crash of PostgreSQL. Defaults to durable. */
  readonly durability?: 'forgetful' | 'durable';
  /** Directory of the program that the servers run, with a slash at its end. Defaults to this checkout. */
  readonly checkout?: string;
}

/** @param shared settings of every server, on top of those that it needs to work at all */
export const startDeployment = async (
  shared: Settings = {},
  { buckets = BUCKETS, durability = 'durable', checkout }: DeploymentOptions = {},
): Promise<Deployment> => {
  const key = randomBytes(24).toString('hex');
  const password = randomBytes(12).toString('hex');
  const postgres = await startTestPostgres(process.env['TEST_POSTGRES_BIN'] || undefined, durability);
  const s3 = await startStrictS3({ buckets });
  const started = new Set<SluiceProcess>();
  const close = async (): Promise<void> => {
    await Promise.all([...started].map((server) => server.destroy()));
    await s3.close();
    await postgres.stop();
  };
  try {
    await withClient(postgres.url, async (admin) => {
      await admin.query(`CREATE ROLE ${ROLE} LOGIN PASSWORD '${password}'`);
      await admin.query(`CREATE DATABASE ${DATABASE} OWNER ${ROLE}`);
    });
  } catch (error) {
    await close();
    throw error;
  }
  const url = urlOfDatabase(postgres.url, DATABASE);
  const database = { url, serverUrl: urlOfRole(url, ROLE, password) };
  const settings: Settings = {
    DATABASE_URL: database.serverUrl,
    API_KEY: key,
    PORT: '0',
    LOG_FORMAT: 'json',
    AWS_REGION: s3.region,
    AWS_ENDPOINT_URL_S3: s3.endpoint,
    S3_FORCE_PATH_STYLE: 'true',
    AWS_ACCESS_KEY_ID: s3.credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: s3.credentials.secretAccessKey,
    ...shared,
  };
  return {
    postgres,
    database,
    s3,
    key,
    startServer: async (own = {}) => {
      const server = startSluice({ ...settings, ...own }, 'main', checkout);
      started.add(server);
      void server.ended.then(() => started.delete(server));
      const words = await server.said('server started');
      const url = /"url":"([^"]+)"/.exec(words)?.[1] ?? '';
      return { url, key, s3, database, process: server, ...createGraphQLClient(url, key) };
    },
    close,
  };
};
