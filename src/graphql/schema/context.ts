import DataLoader from 'dataloader';
import type { Authenticator } from '../../accounts/authenticate.ts';
import { type ApiKeyRow, loadApiKeys, type Principal } from '../../accounts/keys.ts';
import { expandScopes, type Scope } from '../../accounts/scopes.ts';
import type { Db } from '../../db/client.ts';
import type { ApiServices } from '../../http/api-services.ts';
import type { Caller, KeyProblem } from '../../http/callers.ts';
import type { PageArguments } from '../../db/paging.ts';
import { type JobRow, loadJobs } from '../../jobs/jobs.ts';
import type { RequestSignals } from '../../lib/lifecycle.ts';
import type { RunFeed } from '../../runs/run-feed.ts';
import { loadRunObjects, loadRuns, type RunObjectRow, type RunRow } from '../../runs/runs.ts';
import type { OperationRow, StreamRow } from '../../streams/stream-rows.ts';
import { loadOperations, loadStreams, type StreamBounds, loadStreamBounds } from '../../streams/streams.ts';

/** Dependencies of the resolvers; the same for every request of a server. */
export interface Services extends ApiServices {
  readonly feed: RunFeed;
  readonly authenticator: Authenticator;
  readonly limits: ApiServices['limits'] & {
    readonly maxRecords: number;
    readonly maxRows: number;
    readonly maxSubscriptions: number;
  };
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
  readonly loadStreamBounds: DataLoader<StreamRow, StreamBounds>;
  readonly operations: DataLoader<bigint, OperationRow | null>;
  readonly jobs: DataLoader<string, JobRow | null>;
  readonly runs: DataLoader<string, RunRow | null>;
  readonly runObjects: DataLoader<string, readonly RunObjectRow[]>;
  readonly apiKeys: DataLoader<string, ApiKeyRow | null>;
}

/** Throws RateLimitedError; else counts what comes. */
export const countIntake = ({ principal, services }: GraphQLContext, records: number): void => {
  if (!principal) throw new Error('A field without authScopes takes records.');
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
  if (!context.principal) throw new Error('A field without authScopes uses the account.');
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
    loaders: new LazyLoaders(db, principal?.accountId ?? null),
    records: { count: 0 },
    isStillValid: async () =>
      caller.principal !== null && (await services.authenticator.authenticate(caller.secret)) !== null,
  };
};

type ByIds<Id, Row> = (db: Db, accountId: bigint, ids: readonly Id[]) => Promise<readonly Row[]>;

/**
 * They gather the ids of one tick into one query. Nothing is remembered: a subscription lives longer than a row stays true. Each is
 * made when it is first asked for: of the seven, which took 3 KB of each subscriber, most operations use one or none.
 */
class LazyLoaders implements Loaders {
  readonly #db: Db;
  readonly #accountId: bigint | null;
  #streams: Loaders['streams'] | undefined;
  #loadStreamBounds: Loaders['loadStreamBounds'] | undefined;
  #operations: Loaders['operations'] | undefined;
  #jobs: Loaders['jobs'] | undefined;
  #runs: Loaders['runs'] | undefined;
  #runObjects: Loaders['runObjects'] | undefined;
  #apiKeys: Loaders['apiKeys'] | undefined;

  constructor(db: Db, accountId: bigint | null) {
    this.#db = db;
    this.#accountId = accountId;
  }

  get streams() {
    return (this.#streams ??= this.#byId(loadStreams));
  }

  get loadStreamBounds() {
    return (this.#loadStreamBounds ??= new DataLoader<StreamRow, StreamBounds>(
      (rows) => {
        const asked = new Map([...new Set(rows)].map((row) => [row, loadStreamBounds(this.#db, row)]));
        return Promise.all(rows.map((row) => asked.get(row) ?? loadStreamBounds(this.#db, row)));
      },
      { cache: false },
    ));
  }

  get operations() {
    return (this.#operations ??= this.#byId(loadOperations));
  }

  get jobs() {
    return (this.#jobs ??= this.#byId(loadJobs));
  }

  get runs() {
    return (this.#runs ??= this.#byId(loadRuns));
  }

  get runObjects() {
    return (this.#runObjects ??= new DataLoader<string, readonly RunObjectRow[]>(
      async (runIds) => {
        const rows = Map.groupBy(await loadRunObjects(this.#db, runIds), (row) => row.runId);
        return runIds.map((runId) => rows.get(runId) ?? []);
      },
      { cache: false },
    ));
  }

  get apiKeys() {
    return (this.#apiKeys ??= this.#byId(loadApiKeys));
  }

  #byId<Id, Row extends { readonly id: Id }>(load: ByIds<Id, Row>): DataLoader<Id, Row | null> {
    return new DataLoader<Id, Row | null>(
      async (ids) => {
        if (this.#accountId === null) return ids.map(() => null);
        const rows = new Map((await load(this.#db, this.#accountId, ids)).map((row) => [row.id, row]));
        return ids.map((id) => rows.get(id) ?? null);
      },
      { cache: false },
    );
  }
}
