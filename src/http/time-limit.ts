import { RequestTimeoutError } from '../errors/errors.ts';

/** The time limit of a request. */
export interface TimeLimit {
  /** Aborted when the time is over, so that nothing more is started. */
  signal(): AbortSignal;
  /** Time in here does not count: it depends on the client, or has its own limits. */
  readonly exclude: <Value>(work: () => Promise<Value>) => Promise<Value>;
}

/** Returns the result of the work. Throws RequestTimeoutError if it takes too long; the statements that it has started continue. */
export type WithinTime = <Value>(work: (limit: TimeLimit) => Promise<Value>) => Promise<Value>;

export interface TimeLimitOptions {
  readonly limitMs: number;
  /** Called at most once per request. */
  readonly onExceeded: () => void;
}

export function createTimeLimit({ limitMs, onExceeded }: TimeLimitOptions): WithinTime {
  return async (work) => {
    // Created on demand: few callers need a signal, and it costs more than everything else here.
    let ending: AbortController | undefined;
    const signalled = (): AbortController => (ending ??= new AbortController());
    let leftMs = limitMs;
    let startedAt = 0;
    let timer: NodeJS.Timeout | undefined;
    let hasEnded = false;
    const { promise: exceeded, reject } = Promise.withResolvers<never>();
    const end = (): void => {
      const error = new RequestTimeoutError(limitMs);
      onExceeded();
      reject(error);
      // Later calls throw it too.
      signalled().abort(error);
    };
    const start = (): void => {
      if (hasEnded) return;
      startedAt = performance.now();
      timer = setTimeout(end, leftMs);
    };
    const exclude: TimeLimit['exclude'] = async (excluded) => {
      clearTimeout(timer);
      leftMs -= performance.now() - startedAt;
      try {
        return await excluded();
      } finally {
        start();
      }
    };
    start();
    try {
      return await Promise.race([work({ exclude, signal: () => signalled().signal }), exceeded]);
    } finally {
      hasEnded = true;
      clearTimeout(timer);
    }
  };
}
