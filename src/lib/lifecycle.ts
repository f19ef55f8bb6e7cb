import { setTimeout as sleep } from 'node:timers/promises';

/** Something long-lived: stop is ordered, waits for what is under way, and may be called twice. */
export interface Stoppable {
  stop(): Promise<void>;
}

export interface RepeatOptions {
  readonly everyMs: number;
  readonly onError: (error: unknown) => void;
}

/**
 * Runs a task now and then again and again, never twice at once. A task that answers true has more to do and runs again at
 * once. A failure is told and does not end the loop.
 */
export const repeat = (task: (signal: AbortSignal) => Promise<boolean | void>, options: RepeatOptions): Stoppable => {
  const stopping = new AbortController();
  const loop = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      let more: boolean | void = false;
      try {
        more = await task(stopping.signal);
      } catch (error) {
        if (!stopping.signal.aborted) options.onError(error);
      }
      if (more === true) continue;
      await sleep(options.everyMs, undefined, { signal: stopping.signal }).catch(() => undefined);
    }
  };
  const done = loop();
  return {
    stop: () => {
      stopping.abort();
      return done;
    },
  };
};
