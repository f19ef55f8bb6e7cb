// Pure: the newest run of each job, from a list and from the events that follow it.

export interface RunState {
  readonly id: string;
  readonly status: string;
}

function isActive({ status }: RunState): boolean {
  return status === 'QUEUED' || status === 'RUNNING';
}

/** Returns the run to show of one that is shown and one of an event. Events of a run may arrive late, and of several runs in any order. */
export function chooseRun<Run extends RunState>(shown: Run | undefined, event: Run | undefined): Run | undefined {
  if (shown === undefined || event === undefined) return event ?? shown;
  if (shown.id === event.id) return isActive(event) && !isActive(shown) ? shown : event;
  if (!isActive(shown)) return event;
  return shown.status === 'QUEUED' && event.status === 'RUNNING' ? event : shown;
}

export interface LiveRuns<Run> {
  /** Returns the newest run of a job among the events; undefined if there was none. */
  readonly read: (jobId: string) => Run | undefined;
  readonly add: (jobId: string, run: Run) => void;
  /** Removes all runs, because events were missed. */
  readonly clear: () => void;
  /** Calls the listener when the run of the job changes, and not for those of other jobs. Returns a function that ends it. */
  readonly listen: (jobId: string, listener: () => void) => () => void;
}

/** Keeps runs outside of React, so that an event renders the row of its job alone. */
export function createLiveRuns<Run extends RunState>(): LiveRuns<Run> {
  const runs = new Map<string, Run>();
  const listeners = new Map<string, Set<() => void>>();
  const notify = (jobId: string): void => {
    for (const listener of listeners.get(jobId) ?? []) listener();
  };
  return {
    read: (jobId) => runs.get(jobId),
    add: (jobId, run) => {
      const chosen = chooseRun(runs.get(jobId), run);
      if (chosen === undefined || chosen === runs.get(jobId)) return;
      runs.set(jobId, chosen);
      notify(jobId);
    },
    clear: () => {
      const jobIds = [...runs.keys()];
      runs.clear();
      for (const jobId of jobIds) notify(jobId);
    },
    listen: (jobId, listener) => {
      const own = listeners.get(jobId) ?? new Set();
      listeners.set(jobId, own.add(listener));
      return () => {
        own.delete(listener);
        if (own.size === 0) listeners.delete(jobId);
      };
    },
  };
}
