import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { type App, startApp } from '../../src/app/app.ts';
import type { AppResources } from '../../src/app/resources.ts';
import { createAccount, findAccount } from '../../src/accounts/accounts.ts';
import { createApiKey } from '../../src/accounts/keys.ts';
import type { Scope } from '../../src/accounts/scopes.ts';
import { loadConfig } from '../../src/config/config.ts';
import { createLogger, openResources, openStore } from '../../src/process/open-resources.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { createGraphQLClient } from './graphql-client.ts';
import { createTestDatabase, type TestDatabase } from './postgres.ts';
import { startStrictS3, type StrictS3 } from './strict-s3.ts';

export interface TestServerOptions {
  /** Settings in addition to TEST_ENV. */
  readonly env?: Readonly<Record<string, string>>;
  /** The database or S3 of another server, to run several servers on one. The caller closes them. */
  readonly database?: TestDatabase;
  readonly s3?: StrictS3;
  /** Replacements for parts of the app's resources, such as the clock. */
  readonly resources?: Partial<AppResources>;
}

export interface GraphQLAnswer<Data> {
  readonly data?: Data | null;
  readonly errors?: readonly {
    readonly message: string;
    readonly path?: readonly (string | number)[];
    readonly extensions?: Readonly<Record<string, unknown>>;
  }[];
}

/** A complete server with a database of its own and the strict S3, used over HTTP. */
export interface TestServer {
  readonly url: string;
  /** An ADMIN key of the account `default`. */
  readonly key: string;
  readonly app: App;
  readonly database: TestDatabase;
  readonly s3: StrictS3;
  readonly resources: AppResources;
  /** Returns the whole response. Uses the ADMIN key unless another key is given; null sends none. */
  request<Data = Record<string, unknown>>(
    query: string,
    variables?: Readonly<Record<string, unknown>>,
    key?: string | null,
  ): Promise<GraphQLAnswer<Data> & { readonly status: number }>;
  /** Returns the data. Throws if the response has top-level errors. */
  graphql<Data extends object = Record<string, never>>(
    query: string,
    variables?: Readonly<Record<string, unknown>>,
    key?: string,
  ): Promise<Data>;
  /** Creates a key with these scopes, and its account if it does not exist. */
  createKey(account: string, scopes: readonly Scope[]): Promise<string>;
  stop(): Promise<void>;
}

const TEST_BUCKETS = ['exports', 'other-exports', 'my.bucket', 'handed-on'];

/** Short times for tests, with every mechanism of production. */
const TEST_ENV = { PORT: '0', LOG_LEVEL: 'silent', RUN_HEARTBEAT_MS: '200', SHUTDOWN_GRACE_SECONDS: '5' };

export async function startTestServer(options: TestServerOptions = {}): Promise<TestServer> {
  const key = randomBytes(24).toString('hex');
  const database = options.database ?? (await createTestDatabase());
  const s3 = options.s3 ?? (await startStrictS3({ buckets: TEST_BUCKETS }));
  const config = loadConfig({
    ...TEST_ENV,
    DATABASE_URL: database.url,
    API_KEY: key,
    AWS_REGION: s3.region,
    ...options.env,
  });
  const store = openStore(config, { endpoint: s3.endpoint, credentials: s3.credentials, forcePathStyle: true });
  const opened = await openResources({
    config,
    databaseUrl: config.databaseUrl ?? database.url,
    log: createLogger(config),
    store,
  });
  // The test has all responses, so its connections need not be waited for.
  const resources = { idleMs: 0, ...opened, ...options.resources };
  const app = await startApp(resources);

  const context = { db: resources.database.acrossAccounts, clock: systemClock };
  return {
    url: app.url,
    key,
    app,
    database,
    s3,
    resources,
    ...createGraphQLClient(app.url, key),
    createKey: async (name, scopes) => {
      // Two concurrent calls may create the same account.
      if (!(await findAccount(context.db, name))) await createAccount(context, name).catch(() => undefined);
      const account = await findAccount(context.db, name);
      if (!account) throw new Error(`The account ${name} was not made.`);
      return (await createApiKey(context, account.id, { name: 'test', scopes })).secret;
    },
    stop: async () => {
      await app.stop();
      await opened.close();
      if (!options.s3) await s3.close();
      if (!options.database) await database.drop();
    },
  };
}

/** Calls `ask` until the condition holds. Throws with the last value if it never does. */
export async function eventually<Value>(
  ask: () => Promise<Value>,
  isThere: (value: Value) => boolean,
  deadlineMs = 45_000,
): Promise<Value> {
  const deadline = performance.now() + deadlineMs;
  for (;;) {
    const value = await ask();
    if (isThere(value)) return value;
    if (performance.now() > deadline) throw new Error(`It never came to that; the last was ${JSON.stringify(value)}`);
    await delay(25);
  }
}
