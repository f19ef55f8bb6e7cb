import { AsyncLocalStorage } from 'node:async_hooks';
import { randomUUID } from 'node:crypto';

// The context of a request for its log lines and metrics. It is kept in AsyncLocalStorage, so that functions need not pass it
// on. This costs about 1 µs per request.

/** The outcome of a request: the client can fix `refused`, the operator `failed`. */
export type RequestOutcome = 'ok' | 'refused' | 'failed';

export interface ActiveRequest {
  /** The id that the client sent if it is well-formed, otherwise a generated one. */
  readonly id: string;
  readonly begunAt: number;
  readonly api: RequestApi | null;
  /** One of a small fixed set of names, so that clients cannot create metric series; null until it is known. */
  readonly operation: string | null;
  readonly outcome: RequestOutcome;
  /** Whether the response lasts until the client disconnects. */
  readonly isSubscription: boolean;
}

export type RequestApi = 'graphql' | 'rest';

/** The name in the API and the commands, and the id in the tables. */
interface KnownAccount {
  readonly accountName: string;
  readonly accountId: bigint;
}

interface RequestState extends ActiveRequest {
  api: RequestApi | null;
  operation: string | null;
  outcome: RequestOutcome;
  isSubscription: boolean;
  account: KnownAccount | null;
  /** Set when the request has ended. Its connections and timers keep the context, and their log lines must not have its id. */
  isOver: boolean;
}

const currentRequest = new AsyncLocalStorage<RequestState>();

const SEVERITY: Readonly<Record<RequestOutcome, number>> = { ok: 0, refused: 1, failed: 2 };

/** Ids that need no quoting in a header, a log or a shell. */
const WELL_FORMED = /^[\w.:=+/@-]{1,128}$/;

/** Returns the id that the client sent if it is well-formed, otherwise a new one. */
export function chooseRequestId(header: string | readonly string[] | undefined): string {
  return typeof header === 'string' && WELL_FORMED.test(header) ? header : randomUUID();
}

/** Runs `work` as one request and calls `onEnded` with its context afterwards. The work must not throw. */
export async function runInRequestContext(
  id: string,
  work: () => Promise<void>,
  onEnded: (request: ActiveRequest) => void,
): Promise<void> {
  const request: RequestState = {
    id,
    begunAt: performance.now(),
    api: null,
    operation: null,
    outcome: 'ok',
    isSubscription: false,
    account: null,
    isOver: false,
  };
  await currentRequest.run(request, async () => {
    await work();
    onEnded(request);
  });
  request.isOver = true;
}

/** Records the API and the operation, or null if the operation is not known yet. */
export function recordOperation(api: RequestApi, operation: string | null, isSubscription = false): void {
  const request = currentRequest.getStore();
  if (request) Object.assign(request, { api, operation, isSubscription });
}

export function recordAccount(account: KnownAccount): void {
  const request = currentRequest.getStore();
  if (request) request.account = account;
}

/** The worst recorded outcome counts. */
export function recordOutcome(outcome: RequestOutcome): void {
  const request = currentRequest.getStore();
  if (request && SEVERITY[outcome] > SEVERITY[request.outcome]) request.outcome = outcome;
}

/** Returns the fields of log lines that are written during a request, and none outside of requests. */
export function requestLogFields(): { requestId?: string; account?: string; accountId?: string } {
  const request = currentRequest.getStore();
  if (!request || request.isOver) return {};
  const { id, account } = request;
  return {
    requestId: id,
    ...(account && { account: account.accountName, accountId: String(account.accountId) }),
  };
}
