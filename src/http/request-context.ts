import { AsyncLocalStorage } from 'node:async_hooks';
import { randomUUID } from 'node:crypto';

// What the log and the metrics say of a request, known wherever it is worked on: by Node's own context of asynchronous work,
// so that no function has to hand it on. It costs a request about a microsecond.

/** How a request was answered: refused is the client's to change, failed the operator's. */
export type RequestOutcome = 'ok' | 'refused' | 'failed';

export interface ActiveRequest {
  /** The client's own where it sent a well-formed one. */
  readonly id: string;
  readonly begunAt: number;
  readonly api: RequestApi | null;
  /** Out of a small set that no client can add to; null until it is known. */
  readonly operation: string | null;
  readonly outcome: RequestOutcome;
  /** Whether it goes on until its reader leaves. */
  readonly isSubscription: boolean;
}

export type RequestApi = 'graphql' | 'rest';

/** As the API and the commands name it, and as the tables do. */
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
  /** Connections and timers that it left behind still stand in its context, and what becomes of them is not of it. */
  isOver: boolean;
}

const currentRequest = new AsyncLocalStorage<RequestState>();

const SEVERITY: Readonly<Record<RequestOutcome, number>> = { ok: 0, refused: 1, failed: 2 };

/** What proxies and clients send as such: nothing that would have to be quoted in a header, a log or a shell. */
const WELL_FORMED = /^[\w.:=+/@-]{1,128}$/;

/** The id that the client gave where it can be taken as it is, else a new one. */
export const chooseRequestId = (header: string | readonly string[] | undefined): string =>
  typeof header === 'string' && WELL_FORMED.test(header) ? header : randomUUID();

/** Does the work as that of one request, and tells what became known of it when the work is done. The work must not throw. */
export const runInRequestContext = async (
  id: string,
  work: () => Promise<void>,
  onEnded: (request: ActiveRequest) => void,
): Promise<void> => {
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
};

/** Says which of the APIs is asked, and what for, as far as that is known. */
export const recordOperation = (api: RequestApi, operation: string | null, isSubscription = false): void => {
  const request = currentRequest.getStore();
  if (request) Object.assign(request, { api, operation, isSubscription });
};

export const recordAccount = (account: KnownAccount): void => {
  const request = currentRequest.getStore();
  if (request) request.account = account;
};

/** The worst that was noted counts. */
export const recordOutcome = (outcome: RequestOutcome): void => {
  const request = currentRequest.getStore();
  if (request && SEVERITY[outcome] > SEVERITY[request.outcome]) request.outcome = outcome;
};

/** For every line of the log that is written while a request is worked on; nothing for the others. */
export const requestLogFields = (): { requestId?: string; account?: string; accountId?: string } => {
  const request = currentRequest.getStore();
  if (!request || request.isOver) return {};
  const { id, account } = request;
  return {
    requestId: id,
    ...(account && { account: account.accountName, accountId: String(account.accountId) }),
  };
};
