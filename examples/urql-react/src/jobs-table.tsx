import { useEffect, useRef, useState, useSyncExternalStore } from 'react';
import { useMutation, useQuery, useSubscription } from 'urql';
import type { Connection } from './connection.ts';
import { FOLLOW_RUNS, type Job, LIST_JOBS, type Run, RUN_JOB } from './operations.ts';
import { bytes, count, isRefusal, moment, period, wordsOfError, wordsOfRefusal } from './words.ts';

/** So that a job that is created makes the list be asked for anew, also where it was empty before. */
const ABOUT_JOBS = { additionalTypenames: ['Job'] };

/** The newest state of the newest run of each job, as they are told. */
const withRun = (runs: ReadonlyMap<string, Run> = new Map(), { runUpdated }: { runUpdated: Run }) => {
  const { job } = runUpdated;
  return job ? new Map(runs).set(job.id, runUpdated) : runs;
};

const isEnded = ({ status }: Run): boolean => status !== 'QUEUED' && status !== 'RUNNING';

/** The newer of two: what the list says of a job's newest run, and what was told of one. */
const newerOf = (listed: Run | undefined, told: Run | undefined): Run | undefined =>
  told && !(listed?.id === told.id && isEnded(listed)) ? told : listed;

export const JobsTable = ({ connection }: { connection: Connection }) => {
  const { isUp, times } = useSyncExternalStore(connection.listen, connection.read);
  const [{ data, error, fetching }, askForJobs] = useQuery({ query: LIST_JOBS, context: ABOUT_JOBS });
  const [live] = useSubscription({ query: FOLLOW_RUNS }, withRun);
  const [, runJob] = useMutation(RUN_JOB);

  // What happened while no events came is in the list, asked for once more; of what was told before, nothing is sure.
  const told = useRef(live.data);
  useEffect(() => {
    told.current = live.data;
  }, [live.data]);
  const [unsure, setUnsure] = useState(live.data);
  useEffect(() => {
    if (times < 2) return;
    setUnsure(told.current);
    askForJobs({ requestPolicy: 'network-only' });
  }, [times, askForJobs]);
  const toldOf = (jobId: string): Run | undefined => {
    const run = live.data?.get(jobId);
    return run === unsure?.get(jobId) ? undefined : run;
  };

  const [refused, setRefused] = useState<string | null>(null);

  const runNow = async (jobId: string) => {
    const { data: answer, error: failure } = await runJob({ jobId });
    if (failure) return setRefused(wordsOfError(failure));
    setRefused(answer && isRefusal(answer.runJob) ? wordsOfRefusal(answer.runJob) : null);
  };

  const jobs = data?.jobs.edges.map(({ node }) => node) ?? [];
  return (
    <section className="card" aria-labelledby="jobs">
      <div className="heading">
        <h2 id="jobs">Jobs</h2>
        <span className={isUp && !live.error ? 'live' : 'live off'} role="status">
          {live.error ? wordsOfError(live.error) : isUp ? 'Live' : 'Connecting …'}
        </span>
      </div>
      {error && !data && (
        <p className="banner bad" role="alert">
          {wordsOfError(error)}
        </p>
      )}
      {refused !== null && (
        <p className="banner bad" role="alert">
          {refused}
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
                  <span className="unseen">Run it</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {jobs.map((job) => (
                <JobRow
                  key={job.id}
                  job={job}
                  run={newerOf(job.runs.edges[0]?.node, toldOf(job.id))}
                  onRun={() => void runNow(job.id)}
                />
              ))}
            </tbody>
          </table>
        </div>
      )}
      {data && jobs.length === 0 && <p className="hint">No job yet. The form below makes the first.</p>}
      {data && data.jobs.totalCount > jobs.length && (
        <p className="hint">
          The newest {jobs.length} of {count(data.jobs.totalCount)}.
        </p>
      )}
      {fetching && !data && <p className="hint">Asking …</p>}
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
          {run.error ? <Failure words={run.error.message} /> : <small>{period(run.windowStart, run.windowEnd)}</small>}
        </>
      ) : (
        <span className="hint">None yet</span>
      )}
    </td>
    <td className="number">{run ? count(run.rowsWritten) : ''}</td>
    <td className="number">{run ? bytes(run.bytesWritten) : ''}</td>
    <td className="number">
      <button type="button" className="quiet" onClick={onRun} aria-label={`Run ${job.jobName} now`}>
        Run now
      </button>
    </td>
  </tr>
);

/** Its first sentence; the rest, which says what to change, for who opens it. */
const Failure = ({ words }: { words: string }) => {
  const end = words.indexOf('. ') + 1;
  if (end === 0) return <small>{words}</small>;
  return (
    <details>
      <summary>{words.slice(0, end)}</summary>
      <small>{words.slice(end + 1)}</small>
    </details>
  );
};

const scheduleOf = ({ cron, enabled, nextRuns, timeZone }: Job): string => {
  if (!enabled) return 'switched off';
  if (nextRuns[0] !== undefined) return `next ${moment(nextRuns[0])}`;
  return cron === null ? 'nothing more is due' : timeZone;
};
