import DataLoader from 'dataloader';
import type { PgBoss } from 'pg-boss';
import type { Authenticator } from '../accounts/authenticate.ts';
import type { IntakeRate } from '../accounts/intake-rate.ts';
import { type ApiKeyRow, loadApiKeys, type Principal } from '../accounts/keys.ts';
import { expandScopes, type Scope } from '../accounts/scopes.ts';
import type { KeyHasher } from '../streams/key-hasher.ts';
import type { Database, Db } from '../db/client.ts';
import type { Caller, KeyProblem } from '../http/callers.ts';
import type { PageArguments } from '../db/paging.ts';
import { type JobRow, loadJobs } from '../jobs/jobs.ts';
import type { Clock } from '../lib/clock.ts';
import type { RequestSignals } from '../lib/lifecycle.ts';
import type { RunFeed } from '../runs/run-feed.ts';
import { loadRunObjects, loadRuns, type RunObjectRow, type RunRow } from '../runs/runs.ts';
import type { KnownStreams } from '../streams/known-streams.ts';
import type { OnWritten } from '../streams/write-request.ts';
import type { StreamQueue } from '../streams/stream-queue.ts';
import type { WriteBatches } from '../streams/write-batches.ts';
import type { OperationRow, StreamRow } from '../streams/rows.ts';
import { loadOperations, loadStreams, type StreamBounds, streamBounds } from '../streams/streams.ts';

/** What resolvers work with; the same for every request of a server. */
export interface Services {
  readonly database: Pick<Database, 'forAccount'>;
  readonly queue: PgBoss;
  readonly clock: Clock;
  readonly feed: RunFeed;
  readonly authenticator: Authenticator;
  readonly intakeRate: IntakeRate;
  readonly known: KnownStreams;
  readonly batches: WriteBatches;
  readonly streamQueue: StreamQueue;
  readonly keyHasher: Pick<KeyHasher, 'note'>;
  readonly onWritten: OnWritten;
  readonly limits: {
    readonly maxRecords: number;
    readonly maxFutureMs: number;
    readonly maxRows: number;
    readonly maxFilledRows: number;
    readonly maxSubscriptions: number;
    readonly maxPage: number;
  };
  readonly canMail: boolean;
  readonly principalArn: string | null;
}

export interface GraphQLContext {
  /** With the database as the account of the request sees it. */
  readonly services: Services & { readonly db: Db };
  /** Null without a valid key: then only introspection works. */
  readonly principal: Principal | null;
  /** Null with a valid key. */
  readonly keyProblem: KeyProblem | null;
  readonly scopes: ReadonlySet<Scope>;
  readonly loaders: Loaders;
  /** Records and selectors that the fields of this request brought so far, those refused among them. */
  readonly records: { count: number };
  /** Signals that are aborted when nobody waits for the answer any more. Absent for subscriptions. */
  readonly ended?: RequestSignals | undefined;
  /** Asks again whether the key is still valid, for what outlives one request. */
  readonly isStillValid: () => Promise<boolean>;
}

export interface Loaders {
  readonly streams: DataLoader<bigint, StreamRow | null>;
  /** By the row itself: both bounds of a stream are one query. */
  readonly streamBounds: DataLoader<StreamRow, StreamBounds>;
  readonly operations: DataLoader<bigint, OperationRow | null>;
  readonly jobs: DataLoader<string, JobRow | null>;
  readonly runs: DataLoader<string, RunRow | null>;
  readonly runObjects: DataLoader<string, readonly RunObjectRow[]>;
  readonly apiKeys: DataLoader<string, ApiKeyRow | null>;
}

/** Throws RateLimitedError; else counts what comes. */
export const countIntake = ({ principal, services }: GraphQLContext, records: number): void => {
  if (!principal) throw new Error('A field without a scope takes records.');
  services.intakeRate.admit(principal);
  services.intakeRate.spend(principal, records);
};

/** The arguments of a list, with the largest page that this server gives. */
export const paged = <Args extends PageArguments>({ services }: GraphQLContext, args: Args): Args => ({
  ...args,
  most: services.limits.maxPage,
});

/** The account of the request. Fields are guarded by scopes, so a resolver that gets here has a principal. */
export const accountOf = (context: GraphQLContext): bigint => {
  if (!context.principal) throw new Error('A field without a scope asked for the account.');
  return context.principal.accountId;
};

/** The id of no account: whoever has no key sees nothing in the database. */
const NOBODY = 0n;

export const createContext = (services: Services, caller: Caller): GraphQLContext => {
  const { principal } = caller;
  const db = services.database.forAccount(principal?.accountId ?? NOBODY);
  return {
    services: { ...services, db },
    principal,
    keyProblem: caller.principal ? null : caller.problem,
    scopes: principal ? expandScopes(principal.key.scopes) : new Set(),
    loaders: createLoaders(db, principal?.accountId ?? null),
    records: { count: 0 },
    isStillValid: async () =>
      caller.principal !== null && (await services.authenticator.authenticate(caller.secret)) !== null,
  };
};

/** They gather the ids of one tick into one query. Nothing is remembered: a subscription lives longer than a row stays true. */
const createLoaders = (db: Db, accountId: bigint | null): Loaders => {
  const byId = <Id, Row>(
    load: (accountId: bigint, ids: readonly Id[]) => Promise<readonly Row[]>,
    idOf: (row: Row) => Id,
  ): DataLoader<Id, Row | null> =>
    new DataLoader<Id, Row | null>(
      async (ids) => {
        if (accountId === null) return ids.map(() => null);
        const rows = new Map((await load(accountId, ids)).map((row) => [idOf(row), row]));
        return ids.map((id) => rows.get(id) ?? null);
      },
      { cache: false },
    );
  return {
    streams: byId(
      (account, ids) => loadStreams(db, account, ids),
      (row) => row.id,
    ),
    streamBounds: new DataLoader<StreamRow, StreamBounds>(
      (rows) => {
        const asked = new Map([...new Set(rows)].map((row) => [row, streamBounds(db, row)]));
        return Promise.all(rows.map((row) => asked.get(row) ?? streamBounds(db, row)));
      },
      { cache: false },
    ),
    operations: byId(
      (account, ids) => loadOperations(db, account, ids),
      (row) => row.id,
    ),
    jobs: byId(
      (account, ids) => loadJobs(db, account, ids),
      (row) => row.id,
    ),
    runs: byId(
      (account, ids) => loadRuns(db, account, ids),
      (row) => row.id,
    ),
    apiKeys: byId(
      (account, ids) => loadApiKeys(db, account, ids),
      (row) => row.id,
    ),
    runObjects: new DataLoader<string, readonly RunObjectRow[]>(
      async (runIds) => {
        const rows = Map.groupBy(await loadRunObjects(db, runIds), (row) => row.runId);
        return runIds.map((runId) => rows.get(runId) ?? []);
      },
      { cache: false },
    ),
  };
};
