import { Button } from '@mantine/core';
import { Link } from 'react-router';
import { useCan } from '../../api/viewer.ts';
import { Section } from '../../ui/page.tsx';
import { Empty } from '../../ui/states.tsx';
import { TextLink } from '../../ui/text-link.tsx';
import { countLeft } from './backfill-words.ts';
import { CoverageSection } from './coverage-section.tsx';
import type { Job } from './job-documents.ts';
import type { RunRow } from './run-documents.ts';
import { RunAdvice } from './run-advice.tsx';
import { RunsTable } from './run-parts.tsx';
import { applyUpdates } from './run-words.ts';
import { countOf } from '../../ui/exact-number.ts';

interface JobOverviewProps {
  readonly job: Job;
  readonly updates: ReadonlyMap<string, RunRow>;
}

/** The last runs of a job, with the error of the last one, and its coverage. */
export function JobOverview({ job, updates }: JobOverviewProps) {
  const runs = applyUpdates(
    job.runs.edges.map(({ node }) => node),
    updates,
  );
  const [last] = runs;
  const backfill = job.backfills.edges.find(
    ({ node: { status } }) => status === 'RUNNING' || status === 'PAUSED',
  )?.node;
  return (
    <>
      <Section
        title="Last runs"
        actions={
          runs.length > 0 && <TextLink to={`/jobs/${job.id}/runs`}>All {countOf(job.runs.totalCount, 'run')}</TextLink>
        }
      >
        {last === undefined ? (
          <NoRun job={job} />
        ) : (
          <>
            <RunAdvice run={last} job={job} />
            <RunsTable label="Last runs" jobId={job.id} runs={runs} zone={job.timeZone} />
          </>
        )}
        {backfill && (
          <div>
            <TextLink to={`/jobs/${job.id}/backfills`}>
              A backfill is {backfill.status === 'PAUSED' ? 'paused' : 'running'}: {countLeft(backfill)} of{' '}
              {countOf(backfill.windows, 'window')} left
            </TextLink>
          </div>
        )}
      </Section>
      <CoverageSection job={job} />
    </>
  );
}

function NoRun({ job }: { readonly job: Job }) {
  const mayRun = useCan('JOBS');
  const canBackfill = mayRun && job.cron !== null;
  return (
    <Empty
      title="No run yet"
      action={
        canBackfill && (
          <Button component={Link} to={`/jobs/${job.id}/backfills/new`} variant="default">
            Backfill past windows
          </Button>
        )
      }
    >
      {job.nextRuns.length > 0
        ? 'The first run starts with the next slot of the schedule.'
        : 'The schedule starts no run.'}
      {mayRun && ' Run now starts one immediately.'}
    </Empty>
  );
}
