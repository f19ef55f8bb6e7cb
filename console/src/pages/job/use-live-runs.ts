import { createContext, use, useCallback, useEffect, useRef, useState } from 'react';
import { useSubscription } from 'urql';
import { useConnection } from '../../api/connection.ts';
import { FOLLOW_RUN, FOLLOW_RUNS, type RunRow } from './run-documents.ts';

/** Runs that changed since the page was opened: the oldest are forgotten. */
const MAX_UPDATES = 200;
/** Changes within this time are read with one request. */
const COLLECT_MS = 250;

/** Grows when a run of the job was created or ended, and when a lost event stream was opened again. */
const VersionContext = createContext(0);
export const JobVersion = VersionContext.Provider;

type Read = (options: { requestPolicy: 'network-only' }) => void;

/** Reads a query again when the runs of the job have changed. */
export function useReadAgain(read: Read): void {
  const version = use(VersionContext);
  const seen = useRef(version);
  useEffect(() => {
    if (seen.current === version) return;
    seen.current = version;
    read({ requestPolicy: 'network-only' });
  }, [version, read]);
}

/** Returns a counter and a function that increases it once for all calls within a short time. */
function useVersion(): readonly [number, () => void] {
  const [version, setVersion] = useState(0);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const increase = useCallback(() => {
    timer.current ??= setTimeout(() => {
      timer.current = undefined;
      setVersion((before) => before + 1);
    }, COLLECT_MS);
  }, []);
  useEffect(
    () => () => {
      clearTimeout(timer.current);
      timer.current = undefined;
    },
    [],
  );
  const { resumed } = useConnection();
  const seen = useRef(resumed);
  useEffect(() => {
    if (seen.current === resumed) return;
    seen.current = resumed;
    increase();
  }, [resumed, increase]);
  return [version, increase];
}

export interface LiveRuns {
  /** Newest states by id. */
  readonly updates: ReadonlyMap<string, RunRow>;
  readonly version: number;
}

const NONE: ReadonlyMap<string, RunRow> = new Map();

/** Follows the runs of a job. */
export function useLiveRuns(jobId: string): LiveRuns {
  const [version, increase] = useVersion();
  const [{ data = NONE }] = useSubscription<{ runUpdated: RunRow }, ReadonlyMap<string, RunRow>, { jobId: string }>(
    { query: FOLLOW_RUNS, variables: { jobId } },
    (before = NONE, { runUpdated: run }) => {
      if (before.get(run.id)?.status !== run.status) increase();
      const next = new Map(before).set(run.id, run);
      const [oldest] = next.keys();
      if (next.size > MAX_UPDATES && oldest !== undefined) next.delete(oldest);
      return next;
    },
  );
  return { updates: data, version };
}

/** Follows one run while it has not ended. */
export function useLiveRun(
  runId: string,
  isPaused: boolean,
): { readonly update: RunRow | null; readonly version: number } {
  const [version, increase] = useVersion();
  const [{ data }] = useSubscription<{ runUpdated: RunRow }, RunRow, { runId: string }>(
    { query: FOLLOW_RUN, variables: { runId }, pause: isPaused },
    (before, { runUpdated: run }) => {
      if (before?.status !== run.status) increase();
      return run;
    },
  );
  return { update: data ?? null, version };
}

/** Returns the time. It is read and rendered again at this interval; null stops it. */
export function useNow(everyMs: number | null): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    if (everyMs === null) return;
    const timer = setInterval(() => setNow(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}
