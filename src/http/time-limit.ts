import { RequestTimeoutError } from '../errors/errors.ts';

/** How long one request may take. */
export interface TimeLimit {
  /** Aborted at the end of it, so that nothing more is begun. */
  signal(): AbortSignal;
  /** What this takes does not count: it is the sender's time, or has limits of its own. */
  readonly exclude: <Value>(work: () => Promise<Value>) => Promise<Value>;
}

/** What the work comes to, or RequestTimeoutError where that takes too long. What the work had begun goes on then. */
export type WithinTime = <Value>(work: (limit: TimeLimit) => Promise<Value>) => Promise<Value>;

export interface TimeLimitOptions {
  readonly limitMs: number;
  /** Told once for each request. */
  readonly onExceeded: () => void;
}

export const createTimeLimit =
  ({ limitMs, onExceeded }: TimeLimitOptions): WithinTime =>
  async (work) => {
    // Few ask for a signal, and each costs more than all the rest here.
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
      // Whoever asks for one afterwards is told as well.
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
