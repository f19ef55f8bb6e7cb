import { useEffect, useRef, useState, useSyncExternalStore } from 'react';
import { useMutation, useQuery, useSubscription } from 'urql';
import type { Connection } from './connection.ts';
import { FOLLOW_RUNS, type Job, LIST_JOBS, type Run, RUN_JOB } from './operations.ts';
import { formatBytes, formatCount, formatError, formatPeriod, formatTime, isErrorResult } from './format.ts';

/** Keeps the latest event of each job. */
const withRun = (runs: ReadonlyMap<string, Run> = new Map(), { runUpdated }: { runUpdated: Run }) => {
  const { job } = runUpdated;
  return job ? new Map(runs).set(job.id, runUpdated) : runs;
};

const isEnded = ({ status }: Run): boolean => status !== 'QUEUED' && status !== 'RUNNING';

/** Returns the newer state of a job's latest run: that of the list or that of an event. */
const newerOf = (listed: Run | undefined, received: Run | undefined): Run | undefined =>
  received && !(listed?.id === received.id && isEnded(listed)) ? received : listed;

export const JobsTable = ({ connection }: { connection: Connection }) => {
  const { isUp, times } = useSyncExternalStore(connection.listen, connection.read);
  const [{ data, error, fetching }, refetchJobs] = useQuery({ query: LIST_JOBS });
  const [live] = useSubscription({ query: FOLLOW_RUNS }, withRun);
  const [, runJob] = useMutation(RUN_JOB);

  // After a reconnect, fetch the list, and ignore events from before, which may be outdated.
  const received = useRef(live.data);
  useEffect(() => {
    received.current = live.data;
  }, [live.data]);
  const [outdated, setOutdated] = useState(live.data);
  useEffect(() => {
    if (times < 2) return;
    setOutdated(received.current);
    refetchJobs({ requestPolicy: 'network-only' });
  }, [times, refetchJobs]);
  const eventOf = (jobId: string): Run | undefined => {
    const run = live.data?.get(jobId);
    return run === outdated?.get(jobId) ? undefined : run;
  };

  const [problem, setProblem] = useState<string | null>(null);

  const runNow = async (jobId: string) => {
    const { data: result, error: failure } = await runJob({ jobId });
    if (failure) return setProblem(formatError(failure));
    setProblem(result && isErrorResult(result.runJob) ? result.runJob.message : null);
  };

  const jobs = data?.jobs.edges.map(({ node }) => node) ?? [];
  return (
    <section className="card" aria-labelledby="jobs">
      <div className="heading">
        <h2 id="jobs">Jobs</h2>
        <span className={isUp && !live.error ? 'live' : 'live off'} role="status">
          {live.error ? formatError(live.error) : isUp ? 'Live' : 'Connecting …'}
        </span>
      </div>
      {error && !data && (
        <p className="problem" role="alert">
          {formatError(error)}
        </p>
      )}
      {problem !== null && (
        <p className="problem" role="alert">
          {problem}
        </p>
      )}
      {jobs.length > 0 && (
        <div className="scrolls">
          <table>
            <thead>
              <tr>
                <th scope="col">Job</th>
                <th scope="col">Schedule</th>
                <th scope="col">Latest run</th>
                <th scope="col" className="number">
                  Rows
                </th>
                <th scope="col" className="number">
                  Size
                </th>
                <th scope="col">
                  <span className="unseen">Actions</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {jobs.map((job) => (
                <JobRow
                  key={job.id}
                  job={job}
                  run={newerOf(job.runs.edges[0]?.node, eventOf(job.id))}
                  onRun={() => void runNow(job.id)}
                />
              ))}
            </tbody>
          </table>
        </div>
      )}
      {data && jobs.length === 0 && <p className="hint">No job yet. Create the first one in the console of Sluice.</p>}
      {data && data.jobs.totalCount > jobs.length && (
        <p className="hint">
          The latest {jobs.length} of {formatCount(data.jobs.totalCount)}.
        </p>
      )}
      {fetching && !data && <p className="hint">Loading …</p>}
    </section>
  );
};

const JobRow = ({ job, run, onRun }: { job: Job; run: Run | undefined; onRun: () => void }) => (
  <tr>
    <td>
      <strong>{job.jobName}</strong>
      <small>
        {job.s3Url} · {job.format.toLowerCase()}
      </small>
    </td>
    <td>
      {job.cron === null ? 'Once' : <code>{job.cron}</code>}
      <small>{scheduleOf(job)}</small>
    </td>
    <td>
      {run ? (
        <>
          <span className={`status ${run.status.toLowerCase()}`}>{run.status}</span>
          {run.attempt > 1 && <span className="hint"> attempt {run.attempt}</span>}
          {run.error ? (
            <Failure message={run.error.message} />
          ) : (
            <small>{formatPeriod(run.windowStart, run.windowEnd)}</small>
          )}
        </>
      ) : (
        <span className="hint">None yet</span>
      )}
    </td>
    <td className="number">{run ? formatCount(run.rowsWritten) : ''}</td>
    <td className="number">{run ? formatBytes(run.bytesWritten) : ''}</td>
    <td className="number">
      <button type="button" className="quiet" onClick={onRun} aria-label={`Run ${job.jobName} now`}>
        Run now
      </button>
    </td>
  </tr>
);

/** Shows the first sentence. The rest, which says what to change, is shown when it is opened. */
const Failure = ({ message }: { message: string }) => {
  const end = message.indexOf('. ') + 1;
  if (end === 0) return <small>{message}</small>;
  return (
    <details>
      <summary>{message.slice(0, end)}</summary>
      <small>{message.slice(end + 1)}</small>
    </details>
  );
};

const scheduleOf = ({ cron, enabled, nextRuns, timeZone }: Job): string => {
  if (!enabled) return 'disabled';
  if (nextRuns[0] !== undefined) return `next ${formatTime(nextRuns[0])}`;
  return cron === null ? 'no further runs' : timeZone;
};
