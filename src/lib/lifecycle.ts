import { setTimeout as sleep } from 'node:timers/promises';

/** Something long-lived: stop is ordered, waits for what is under way, and may be called twice. */
export interface Stoppable {
  stop(): Promise<void>;
}

/** Returns the signals of a request: one of them is aborted when nobody waits for its answer any more. */
export type RequestSignals = () => readonly AbortSignal[];

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

/** What was begun and is not waited for by whoever began it. */
export interface TaskTracker {
  /** Never a promise that may reject: who begins something looks after its failure. */
  add(work: Promise<void>): void;
  /** Resolves when nothing is under way any more, or after so long. */
  settled(withinMs: number): Promise<void>;
}

export const createTaskTracker = (): TaskTracker => {
  const tasks = new Set<Promise<void>>();
  return {
    add: (work) => {
      tasks.add(work);
      void work.then(() => tasks.delete(work));
    },
    settled: async (withinMs) => {
      const waiting = new AbortController();
      const late = sleep(withinMs, undefined, { signal: waiting.signal }).catch(() => undefined);
      await Promise.race([Promise.all(tasks), late]);
      waiting.abort();
    },
  };
};
