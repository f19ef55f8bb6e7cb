import { createContext, use, useCallback, useEffect, useRef, useState, useSyncExternalStore } from 'react';
import { useClient } from 'urql';
import { useConnection } from '../../api/connection.ts';
import { FOLLOW_RUNS, type LastRun } from './jobs-documents.ts';
import { chooseRun, createLiveRuns, type LiveRuns } from './live-runs.ts';

export const LiveRunsContext = createContext<LiveRuns<LastRun> | null>(null);

/** Follows the runs of all jobs with one subscription. Calls `onResume` when events may have been missed. */
export function useFollowRuns(onResume: () => void): LiveRuns<LastRun> {
  const client = useClient();
  const [runs] = useState(() => createLiveRuns<LastRun>());
  useEffect(() => {
    // Not useSubscription(): it renders the whole page at each event.
    const subscription = client.subscription(FOLLOW_RUNS, {}).subscribe(({ data }) => {
      if (data?.runUpdated.job) runs.add(data.runUpdated.job.id, data.runUpdated);
    });
    return () => subscription.unsubscribe();
  }, [client, runs]);
  const { resumed } = useConnection();
  const handled = useRef(resumed);
  useEffect(() => {
    if (resumed === handled.current) return;
    handled.current = resumed;
    runs.clear();
    onResume();
  }, [resumed, runs, onResume]);
  return runs;
}

/** Returns the newest run of a job: that of the list or that of an event. */
export function useLastRun(jobId: string, listed: LastRun | undefined): LastRun | undefined {
  const runs = use(LiveRunsContext);
  const listen = useCallback((listener: () => void) => runs?.listen(jobId, listener) ?? (() => {}), [runs, jobId]);
  const event = useSyncExternalStore(listen, () => runs?.read(jobId));
  return chooseRun(listed, event);
}
