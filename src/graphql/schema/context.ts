import type { DeliveryRow } from '../../deliveries/delivery.ts';
import { loadDeliveries, loadDeliveriesOfRuns, type RunPlace } from '../../deliveries/read-deliveries.ts';
import { manifestNames } from '../../jobs/destination.ts';
import DataLoader from 'dataloader';
import type { Authenticator } from '../../accounts/authenticate.ts';
import { type ApiKeyRow, loadApiKeys, type Principal } from '../../accounts/keys.ts';
import { expandScopes, type Scope } from '../../accounts/scopes.ts';
import type { Db } from '../../db/client.ts';
import type { BucketWriter } from '../../exports/bucket-policy.ts';
import type { ApiServices } from '../../http/api-services.ts';
import type { Caller, KeyProblem } from '../../http/callers.ts';
import type { PageArguments } from '../../db/paging.ts';
import { type JobRow, loadJobs } from '../../jobs/jobs.ts';
import type { RequestSignals } from '../../lib/lifecycle.ts';
import type { BackfillRow } from '../../runs/backfills/progress.ts';
import { loadBackfills } from '../../runs/backfills/read-backfills.ts';
import type { IntakeCache } from '../../runs/read-overview.ts';
import type { RunFeed } from '../../runs/run-feed.ts';
import { loadRunObjects, loadRuns, type RunObjectRow, type RunRow } from '../../runs/runs.ts';
import { loadStreamActivity, type StreamActivity } from '../../streams/declarations.ts';
import type { OperationRow, StreamRow } from '../../streams/stream-rows.ts';
import { loadOperations, loadStreams, type StreamBounds, loadStreamBounds } from '../../streams/streams.ts';

/** Dependencies of the resolvers; the same for every request of a server. */
export interface Services extends ApiServices {
  readonly feed: RunFeed;
  readonly authenticator: Authenticator;
  readonly intakeCache: IntakeCache;
  readonly limits: ApiServices['limits'] & {
    readonly maxRecords: number;
    readonly maxRows: number;
    readonly previewMaxRecords: number;
    readonly previewLockMs: number;
    readonly maxSubscriptions: number;
  };
  /** Named in bucket policies. */
  readonly writer: BucketWriter;
}

export interface GraphQLContext {
  /** `db` is restricted to the account of the request. */
  readonly services: Services & { readonly db: Db };
  /** Null without a valid API key. Then only introspection is allowed. */
  readonly principal: Principal | null;
  /** Null with a valid API key. */
  readonly keyProblem: KeyProblem | null;
  readonly scopes: ReadonlySet<Scope>;
  readonly loaders: Loaders;
  /** Number of records and selectors in the fields of this request so far, rejected ones included. */
  readonly records: { count: number };
  /** Signals for the time limit and for a client that disconnects. Absent for subscriptions. */
  readonly ended?: RequestSignals | undefined;
  /** Checks the API key again, for subscriptions. */
  readonly isStillValid: () => Promise<boolean>;
}

/** Counts records for the rate of the API key. Throws RateLimitedError if the key has exceeded it. */
export function countIntake({ principal, services }: GraphQLContext, records: number): void {
  if (!principal) throw new Error('A field without authScopes takes records.');
  services.intakeRate.admit(principal);
  services.intakeRate.spend(principal, records);
}

/** Adds the maximum page size to the arguments of a list. */
export function limitPage<Args extends PageArguments>({ services }: GraphQLContext, args: Args): Args {
  return { ...args, most: services.limits.maxPage };
}

/** Returns the account of the request. Fields have authScopes, so a resolver that runs has a principal. */
export function accountOf(context: GraphQLContext): bigint {
  if (!context.principal) throw new Error('A field without authScopes uses the account.');
  return context.principal.accountId;
}

/** No account has this id, so requests without a key see no rows. */
const NO_ACCOUNT = 0n;

export function createContext(services: Services, caller: Caller): GraphQLContext {
  const { principal } = caller;
  const db = services.database.forAccount(principal?.accountId ?? NO_ACCOUNT);
  return {
    services: { ...services, db },
    principal,
    keyProblem: caller.principal ? null : caller.problem,
    scopes: principal ? expandScopes(principal.key.scopes) : new Set(),
    loaders: new Loaders(db, principal?.accountId ?? null),
    records: { count: 0 },
    isStillValid: async () =>
      caller.principal !== null && (await services.authenticator.authenticate(caller.secret)) !== null,
  };
}

type ByIds<Id, Row> = (db: Db, accountId: bigint, ids: readonly Id[]) => Promise<readonly Row[]>;

/**
 * Loaders that combine the ids of one tick into one statement. They cache nothing, because rows change during a subscription.
 * Each is created on first use: all take 4 KB per subscriber, and most operations use at most one.
 */
class Loaders {
  readonly #db: Db;
  readonly #accountId: bigint | null;
  #streams: DataLoader<bigint, StreamRow | null> | undefined;
  #loadStreamBounds: DataLoader<StreamRow, StreamBounds> | undefined;
  #streamActivity: DataLoader<bigint, StreamActivity | null> | undefined;
  #operations: DataLoader<bigint, OperationRow | null> | undefined;
  #jobs: DataLoader<string, JobRow | null> | undefined;
  #runs: DataLoader<string, RunRow | null> | undefined;
  #runObjects: DataLoader<string, readonly RunObjectRow[]> | undefined;
  #deliveries: DataLoader<string, DeliveryRow | null> | undefined;
  #deliveriesOfRuns: DataLoader<RunRow, DeliveryRow | null> | undefined;
  #backfills: DataLoader<string, BackfillRow | null> | undefined;
  #apiKeys: DataLoader<string, ApiKeyRow | null> | undefined;

  constructor(db: Db, accountId: bigint | null) {
    this.#db = db;
    this.#accountId = accountId;
  }

  get streams() {
    return (this.#streams ??= this.#byId(loadStreams));
  }

  /** Keyed by the row, because both bounds of a stream take one statement. */
  get loadStreamBounds() {
    return (this.#loadStreamBounds ??= new DataLoader<StreamRow, StreamBounds>(
      (rows) => {
        const pending = new Map([...new Set(rows)].map((row) => [row, loadStreamBounds(this.#db, row)]));
        return Promise.all(rows.map((row) => pending.get(row) ?? loadStreamBounds(this.#db, row)));
      },
      { cache: false },
    ));
  }

  get streamActivity() {
    return (this.#streamActivity ??= new DataLoader<bigint, StreamActivity | null>(
      async (ids) => {
        if (this.#accountId === null) return ids.map(() => null);
        const found = await loadStreamActivity(this.#db, this.#accountId, [...new Set(ids)]);
        return ids.map((id) => found.get(id) ?? null);
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

  get deliveries() {
    return (this.#deliveries ??= this.#byId(loadDeliveries));
  }

  get deliveriesOfRuns() {
    return (this.#deliveriesOfRuns ??= new DataLoader<RunRow, DeliveryRow | null>(
      async (rows) => {
        if (this.#accountId === null) return rows.map(() => null);
        const keyOf = ({ jobId, bucket, manifestKey }: RunPlace): string => `${jobId} ${bucket}/${manifestKey}`;
        const places = rows.map(({ jobId, bucket, manifestKey }) => ({
          jobId,
          bucket,
          manifestKey: manifestNames(manifestKey).current,
        }));
        const found = new Map(
          (await loadDeliveriesOfRuns(this.#db, this.#accountId, places)).map((row) => [keyOf(row), row]),
        );
        return places.map((place) => found.get(keyOf(place)) ?? null);
      },
      { cache: false },
    ));
  }

  get backfills() {
    return (this.#backfills ??= this.#byId(loadBackfills));
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
