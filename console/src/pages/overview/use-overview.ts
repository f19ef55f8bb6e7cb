import { useEffect } from 'react';
import { useQuery, useSubscription, type UseQueryResponse } from 'urql';
import { useConnection } from '../../api/connection.ts';
import { FOLLOW_STATUSES, type OverviewData, READ_OVERVIEW } from './overview-documents.ts';

const REFRESH_MS = 30_000;
/** Changes of runs are collected this long before the overview is read again. */
const COLLECT_MS = 2000;

/** The last known statuses of runs that have not ended, and the number of changes. */
interface Statuses {
  readonly changes: number;
  readonly statuses: ReadonlyMap<string, string>;
}

/** Counts changes of the status. Events about the progress of a run change nothing that the overview shows. */
function followStatus(
  before: Statuses = { changes: 0, statuses: new Map() },
  { runUpdated }: { runUpdated: { id: string; status: string } },
): Statuses {
  const { id, status } = runUpdated;
  if (before.statuses.get(id) === status) return before;
  const statuses = new Map(before.statuses);
  if (status === 'QUEUED' || status === 'RUNNING') statuses.set(id, status);
  else statuses.delete(id);
  return { changes: before.changes + 1, statuses };
}

/** Reads the overview: every 30 seconds, after runs changed, after the connection was lost, and when the user returns to the page. */
export function useOverview(): UseQueryResponse<OverviewData> {
  const query = useQuery({ query: READ_OVERVIEW });
  const [, read] = query;
  const [{ data: followed }] = useSubscription({ query: FOLLOW_STATUSES }, followStatus);
  const { resumed } = useConnection();
  const changes = followed?.changes ?? 0;
  useEffect(() => {
    const readAgain = (): void => {
      if (document.visibilityState === 'visible') read({ requestPolicy: 'network-only' });
    };
    const timer = setInterval(readAgain, REFRESH_MS);
    document.addEventListener('visibilitychange', readAgain);
    return () => {
      clearInterval(timer);
      document.removeEventListener('visibilitychange', readAgain);
    };
  }, [read]);
  useEffect(() => {
    if (changes === 0 && resumed === 0) return;
    const timer = setTimeout(() => read({ requestPolicy: 'network-only' }), COLLECT_MS);
    return () => clearTimeout(timer);
  }, [changes, resumed, read]);
  return query;
}
