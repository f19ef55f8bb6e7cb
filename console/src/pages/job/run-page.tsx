import { Alert, Button, Loader, Text } from '@mantine/core';
import { useState } from 'react';
import { useParams } from 'react-router';
import { useQuery } from 'urql';
import { useAction } from '../../api/use-action.ts';
import { useCan } from '../../api/viewer.ts';
import { CopyableText } from '../../ui/copy.tsx';
import { type Column, DataTable } from '../../ui/data-table.tsx';
import { NotFound } from '../../ui/error-boundary.tsx';
import { countOf, formatBytes } from '../../ui/exact-number.ts';
import { type Fact, Facts } from '../../ui/facts.tsx';
import { ExactNumber, Time, TimeSpan } from '../../ui/figures.tsx';
import { Page, Section } from '../../ui/page.tsx';
import { Empty, Loaded, ProblemAlert } from '../../ui/states.tsx';
import { TextLink } from '../../ui/text-link.tsx';
import { formatInstant } from '../../ui/time-text.ts';
import { useVisit } from '../../ui/use-visit.ts';
import './job.css';
import { RUN_JOB } from './job-documents.ts';
import { RunAdvice } from './run-advice.tsx';
import { ChangesTable } from './run-changes.tsx';
import { READ_RUN, type RunDetails } from './run-documents.ts';
import { RunActivity, RunDuration, useCancelRun } from './run-parts.tsx';
import { describeTrigger, isActive } from './run-words.ts';
import { JobVersion, useLiveRun, useReadAgain } from './use-live-runs.ts';

/** One run: its progress, error, objects and changes. */
export function RunPage() {
  const { runId = '' } = useParams();
  return <FollowedRun key={runId} id={runId} />;
}

function FollowedRun({ id }: { readonly id: string }) {
  const [isEnded, setEnded] = useState(false);
  const { update, version } = useLiveRun(id, isEnded);
  return (
    <JobVersion value={version}>
      <RunView id={id} update={update} onEnded={() => setEnded(true)} />
    </JobVersion>
  );
}

interface RunViewProps {
  readonly id: string;
  readonly update: ReturnType<typeof useLiveRun>['update'];
  readonly onEnded: () => void;
}

function RunView({ id, update, onEnded }: RunViewProps) {
  const query = useQuery({ query: READ_RUN, variables: { id } });
  useReadAgain(query[1]);
  const read = query[0].data?.run;
  // Nothing changes any more, so the stream of a run that has ended is closed.
  if (read && !isActive(read) && update === null) queueMicrotask(onEnded);
  if (read === null) return <NotFound what="run" />;
  if (read === undefined) {
    return (
      <Page title="Run" parents={[{ title: 'Jobs', to: '/jobs' }]}>
        <Loaded query={query} what="the run">
          {() => null}
        </Loaded>
      </Page>
    );
  }
  const run: RunDetails = update !== null && isActive(read) ? { ...read, ...update } : read;
  const zone = run.job?.timeZone ?? 'UTC';
  const parents = [
    { title: 'Jobs', to: '/jobs' },
    ...(run.job
      ? [
          { title: run.job.jobName, to: `/jobs/${run.job.id}` },
          { title: 'Runs', to: `/jobs/${run.job.id}/runs` },
        ]
      : []),
  ];
  return (
    <Page
      title={`Run of ${formatInstant(run.scheduledFor, zone)}`}
      parents={parents}
      actions={<RunActions run={run} zone={zone} />}
    >
      {run.job === null && (
        <Alert color="gray" variant="light" title={`The job ${run.jobName} was deleted`}>
          Its runs are kept.
        </Alert>
      )}
      <div className="run-state" role="status" aria-label="Status of the run">
        <RunActivity run={run} zone={zone} />
        {run.status === 'RUNNING' && <Loader size="sm" type="dots" aria-hidden />}
      </div>
      {run.job ? (
        <RunAdvice run={run} job={run.job} />
      ) : (
        run.error && <ProblemAlert problem={{ message: run.error.message, code: run.error.code, issues: {} }} />
      )}
      {run.warnings.length > 0 && (
        <Alert color="orange" variant="light" title={countOf(run.warnings.length, 'warning')}>
          {run.warnings.map((warning) => (
            <Text key={warning} className="breakable">
              {warning}
            </Text>
          ))}
        </Alert>
      )}
      <Facts facts={listFacts(run, zone)} />
      <RunObjects run={run} />
      {run.changes && (
        <Section title="What changed">
          <ChangesTable changes={run.changes} />
        </Section>
      )}
      <Loaded query={query} what="the run">
        {() => null}
      </Loaded>
    </Page>
  );
}

interface RunProps {
  readonly run: RunDetails;
  readonly zone: string;
}

function RunActions({ run, zone }: RunProps) {
  const mayRun = useCan('JOBS');
  const begin = useVisit();
  const { cancel, problem } = useCancelRun(zone);
  const again = useAction(RUN_JOB);
  if (!mayRun) return null;
  const { job } = run;
  if (isActive(run)) {
    return (
      <>
        <ProblemAlert problem={problem} />
        <Button variant="default" onClick={() => void cancel(run)}>
          Cancel run
        </Button>
      </>
    );
  }
  if (job === null) return null;
  const runAgain = async (): Promise<void> => {
    const show = begin();
    const data = await again.run({ input: { jobId: job.id, scheduledFor: run.scheduledFor } });
    if (data?.runJob.__typename === 'Run') show(`/jobs/${job.id}/runs/${data.runJob.id}`);
  };
  return (
    <>
      <ProblemAlert problem={again.problem} />
      <Button variant="default" loading={again.isRunning} onClick={() => void runAgain()}>
        Run again
      </Button>
    </>
  );
}

function listFacts(run: RunDetails, zone: string): Fact[] {
  const { delivery, backfill, job } = run;
  return [
    { name: 'Window', value: <TimeSpan from={run.windowStart} to={run.windowEnd} zone={zone} /> },
    { name: 'Started by', value: describeTrigger(run.trigger) },
    {
      name: 'Started',
      value: run.startedAt === null ? null : <Time value={run.startedAt} zone={zone} />,
    },
    { name: 'Duration', value: run.startedAt === null ? null : <RunDuration run={run} /> },
    { name: 'Rows', value: <ExactNumber value={run.rowsWritten} /> },
    { name: 'Size', value: formatBytes(run.bytesWritten) },
    { name: 'Attempts', value: run.attempt },
    {
      name: 'Streams complete',
      value: run.complete === null ? null : run.complete ? 'Yes' : 'No: not every stream was declared complete',
    },
    {
      name: 'Delivery',
      value:
        delivery && job ? (
          <TextLink to={`/jobs/${job.id}/deliveries/${delivery.id}`}>
            {run.revision === null ? 'Window' : `Revision ${run.revision}`}
          </TextLink>
        ) : null,
    },
    {
      name: 'Backfill',
      value: backfill && job ? <TextLink to={`/jobs/${job.id}/backfills`}>Backfills of the job</TextLink> : null,
    },
    {
      name: 'Manifest',
      value: run.manifestKey === null ? null : <CopyableText text={run.manifestKey} name="manifest key" />,
    },
    { name: 'Id', value: <CopyableText text={run.id} name="run id" /> },
  ];
}

/** Objects shown before the user asks for all: a run may have thousands. */
const SHOWN_OBJECTS = 50;

function RunObjects({ run }: { readonly run: RunDetails }) {
  const [hasAll, setAll] = useState(false);
  const { objects, status } = run;
  const columns: Column<RunDetails['objects'][number]>[] = [
    { title: 'Object key', isHeading: true, cell: ({ key }) => <CopyableText text={key} name="object key" /> },
    { title: 'Rows', isFigure: true, cell: ({ rows }) => <ExactNumber value={rows} /> },
    {
      title: 'Size',
      isFigure: true,
      cell: ({ bytes }) => <span title={countOf(bytes, 'byte')}>{formatBytes(bytes)}</span>,
    },
    {
      title: 'SHA-256',
      cell: ({ sha256 }) => <CopyableText text={sha256} name="SHA-256" shown={`${sha256.slice(0, 12)}…`} />,
    },
  ];
  return (
    <Section title="Objects">
      {objects.length === 0 ? (
        <Empty title="No object">
          {isActive(run)
            ? 'Objects are listed as soon as they are written.'
            : status === 'SUCCEEDED'
              ? 'The window has no rows.'
              : 'The run wrote no object.'}
        </Empty>
      ) : (
        <>
          {status !== 'SUCCEEDED' && (
            <Text c="dimmed">
              Rely on these objects only after the run has succeeded: the manifest is written last.
            </Text>
          )}
          <DataTable
            label={countOf(objects.length, 'object')}
            rows={hasAll ? objects : objects.slice(0, SHOWN_OBJECTS)}
            columns={columns}
            rowKey={({ key }) => key}
          />
          {!hasAll && objects.length > SHOWN_OBJECTS && (
            <div>
              <Button variant="default" onClick={() => setAll(true)}>
                Show all {countOf(objects.length, 'object')}
              </Button>
            </div>
          )}
        </>
      )}
    </Section>
  );
}
