import { setTimeout as sleep } from 'node:timers/promises';

/** A long-lived object. stop() is ordered, waits for work in flight, and may be called twice. */
export interface Stoppable {
  stop(): Promise<void>;
}

/** Returns the signals of a request. One of them is aborted when no client waits for the response any more. */
export type RequestSignals = () => readonly AbortSignal[];

export interface RepeatOptions {
  /** Pause between two tasks; a function is called after each task. */
  readonly everyMs: number | (() => number);
  readonly onError: (error: unknown) => void;
}

/**
 * Runs a task repeatedly, never concurrently with itself. If the task returns true it has more to do and runs again
 * immediately. A failure is reported to `onError` and does not end the loop.
 */
export function repeat(task: (signal: AbortSignal) => Promise<boolean | void>, options: RepeatOptions): Stoppable {
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
      const { everyMs } = options;
      const pause = typeof everyMs === 'number' ? everyMs : everyMs();
      await sleep(pause, undefined, { signal: stopping.signal }).catch(() => undefined);
    }
  };
  const done = loop();
  return {
    stop: () => {
      stopping.abort();
      return done;
    },
  };
}

/** Tracks work that its caller does not await. */
export interface TaskTracker {
  /** Adds work. The promise must not reject: the caller handles its errors. */
  add(work: Promise<void>): void;
  /** Resolves when no work is in flight, or after `withinMs`. */
  settled(withinMs: number): Promise<void>;
}

export function createTaskTracker(): TaskTracker {
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
}
