import { Anchor, Box, Button, Group, SegmentedControl, Text } from '@mantine/core';
import { useCallback, useEffect } from 'react';
import { Link } from 'react-router';
import { useQuery } from 'urql';
import { useCan } from '../../api/viewer.ts';
import { type Column, DataTable } from '../../ui/data-table.tsx';
import { countOf } from '../../ui/exact-number.ts';
import { Time } from '../../ui/figures.tsx';
import { type ListAddress, useListAddress } from '../../ui/list-address.ts';
import { Pager, Search } from '../../ui/list.tsx';
import { Page } from '../../ui/page.tsx';
import { describeSchedule } from '../../ui/schedule-text.ts';
import { Empty, Loaded } from '../../ui/states.tsx';
import { Status } from '../../ui/status.tsx';
import { EnabledSwitch, JobActions } from './job-actions.tsx';
import { LIST_FAILING_JOBS, LIST_JOBS, type ListedJob } from './jobs-documents.ts';
import { findNextSlot, readShown, SHOWN } from './jobs-list.ts';
import { LastRun } from './last-run.tsx';
import { LiveRunsContext, useFollowRuns } from './use-live-runs.ts';
import './jobs.css';

const PAGE_SIZE = 25;
/** The server starts a run within this time after its slot. */
const SLOT_MS = 2000;
/** Timers cannot wait longer. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** The jobs of the account, with their runs as they happen. */
export function JobsPage() {
  const list = useListAddress();
  const canChange = useCan('JOBS');
  const shown = readShown(list.read('show'));
  return (
    <Page
      title="Jobs"
      description="A job exports usage to an S3 bucket on a schedule."
      actions={
        canChange && (
          <Button component={Link} to="/jobs/new">
            Create job
          </Button>
        )
      }
    >
      <Group justify="space-between">
        <Search list={list} what="jobs" />
        <SegmentedControl
          aria-label="Jobs shown"
          transitionDuration={0}
          data={[...SHOWN]}
          value={shown}
          onChange={(value) => list.set('show', value === 'all' ? null : value)}
        />
      </Group>
      {shown === 'failed' ? <FailingJobs list={list} /> : <JobList list={list} enabled={ENABLED[shown]} />}
    </Page>
  );
}

const ENABLED = { all: null, enabled: true, disabled: false } as const;

interface ListProps {
  readonly list: ListAddress;
}

function JobList({ list, enabled }: ListProps & { readonly enabled: boolean | null }) {
  const variables = { first: PAGE_SIZE, after: list.after, search: list.search || null, enabled };
  const query = useQuery({ query: LIST_JOBS, variables });
  const read = query[1];
  const readAgain = useCallback(() => read({ requestPolicy: 'network-only' }), [read]);
  return (
    <Loaded query={query} variables={variables} what="jobs">
      {({ jobs: { edges, pageInfo } }) => (
        <>
          <JobTable list={list} jobs={edges.map(({ node }) => node)} readAgain={readAgain} />
          <Pager list={list} pageInfo={pageInfo} />
        </>
      )}
    </Loaded>
  );
}

function FailingJobs({ list }: ListProps) {
  const query = useQuery({ query: LIST_FAILING_JOBS });
  const read = query[1];
  const readAgain = useCallback(() => read({ requestPolicy: 'network-only' }), [read]);
  return (
    <Loaded query={query} what="jobs">
      {({ overview: { failingJobCount, failingRuns } }) => {
        const all = failingRuns.flatMap(({ job }) => (job === null ? [] : [job]));
        const search = list.search.toLowerCase();
        const jobs = all.filter(({ jobName }) => jobName.toLowerCase().includes(search));
        return (
          <>
            {failingJobCount > all.length && (
              <Text c="dimmed">
                {countOf(failingJobCount, 'job')} failed. The {all.length} that failed last are shown.
              </Text>
            )}
            <JobTable
              list={list}
              jobs={jobs}
              readAgain={readAgain}
              searched={failingJobCount > all.length ? all.length : null}
            />
          </>
        );
      }}
    </Loaded>
  );
}

interface TableProps extends ListProps {
  readonly jobs: readonly ListedJob[];
  readonly readAgain: () => void;
  /** Number of jobs that were searched, if there are more. */
  readonly searched?: number | null;
}

function JobTable({ list, jobs, readAgain, searched = null }: TableProps) {
  const runs = useFollowRuns(readAgain);
  const canChange = useCan('JOBS');
  const nextSlot = findNextSlot(jobs);
  useEffect(() => {
    if (nextSlot === null) return;
    const timer = setTimeout(readAgain, Math.min(Math.max(nextSlot - Date.now(), 0) + SLOT_MS, MAX_TIMER_MS));
    return () => clearTimeout(timer);
  }, [nextSlot, readAgain]);
  if (jobs.length === 0) return <NoJobs list={list} canChange={canChange} searched={searched} />;
  const columns: Column<ListedJob>[] = [
    {
      title: 'Job',
      isHeading: true,
      cell: ({ id, jobName, s3Url, warnings }) => (
        <Box className="two-lines">
          <Anchor component={Link} to={`/jobs/${id}`} className="breakable">
            {jobName}
          </Anchor>
          <Text size="sm" c="dimmed" className="breakable" component="div">
            {s3Url}
          </Text>
          {warnings.length > 0 && (
            <span title={warnings.join('\n')}>
              <Status tone="waiting">{countOf(warnings.length, 'warning')}</Status>
            </span>
          )}
        </Box>
      ),
    },
    {
      title: 'Schedule',
      cell: (job) => (
        <Box className="two-lines">
          {describeSchedule(job)}
          <Text size="sm" c="dimmed" component="div">
            <NextSlot job={job} />
          </Text>
        </Box>
      ),
    },
    { title: 'Last run', cell: (job) => <LastRun job={job} /> },
    ...(canChange
      ? [
          { title: 'State', cell: (job: ListedJob) => <EnabledSwitch job={job} /> },
          { title: 'Actions', cell: (job: ListedJob) => <JobActions job={job} onDeleted={readAgain} /> },
        ]
      : [{ title: 'State', cell: ({ enabled }: ListedJob) => (enabled ? 'Enabled' : 'Disabled') }]),
  ];
  return (
    <LiveRunsContext value={runs}>
      <DataTable label="Jobs" rows={jobs} columns={columns} rowKey={({ id }) => id} />
    </LiveRunsContext>
  );
}

function NextSlot({ job: { nextRuns, timeZone } }: { readonly job: ListedJob }) {
  const [next] = nextRuns;
  if (next === undefined) return 'No next run';
  return (
    <span className="figure">
      Next <Time value={next} zone={timeZone} />
    </span>
  );
}

interface NoJobsProps extends ListProps {
  readonly canChange: boolean;
  readonly searched: number | null;
}

function NoJobs({ list, canChange, searched }: NoJobsProps) {
  if (list.search !== '') {
    return (
      <Empty title="No job matches">
        {searched === null
          ? `No job of this list contains “${list.search}” in its name.`
          : `None of the ${searched} jobs that failed last contains “${list.search}” in its name. The others were not searched.`}
      </Empty>
    );
  }
  const shown = readShown(list.read('show'));
  if (shown === 'failed') return <Empty title="No job fails">The last run of every job succeeded.</Empty>;
  if (shown !== 'all') return <Empty title={`No job is ${shown}`} />;
  return (
    <Empty
      title="This account does not have a job yet"
      action={
        canChange && (
          <Button component={Link} to="/jobs/new" mt="sm">
            Create a job
          </Button>
        )
      }
    >
      A job needs a name, a bucket and a schedule. It delivers a file of usage for each window, such as each day.
    </Empty>
  );
}
