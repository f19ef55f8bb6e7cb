import { Select } from '@mantine/core';
import { useQuery } from 'urql';
import { countOf } from '../../ui/exact-number.ts';
import { useListAddress } from '../../ui/list-address.ts';
import { Pager } from '../../ui/list.tsx';
import { Section } from '../../ui/page.tsx';
import { Empty, Loaded } from '../../ui/states.tsx';
import type { Job } from './job-documents.ts';
import { LIST_RUNS, type RunRow } from './run-documents.ts';
import { RunsTable } from './run-parts.tsx';
import { applyUpdates } from './run-words.ts';
import { useReadAgain } from './use-live-runs.ts';

const PAGE_SIZE = 20;
const STATUSES = [
  { value: 'QUEUED', label: 'Queued' },
  { value: 'RUNNING', label: 'Running' },
  { value: 'SUCCEEDED', label: 'Succeeded' },
  { value: 'FAILED', label: 'Failed' },
  { value: 'CANCELED', label: 'Canceled' },
];

/** Returns the value of a filter in the address if it is a known one. */
function readChoice<Value extends string>(choices: readonly { value: Value }[], text: string | null): Value | null {
  return choices.find(({ value }) => value === text)?.value ?? null;
}

interface JobRunsProps {
  readonly job: Job;
  readonly updates: ReadonlyMap<string, RunRow>;
}

/** The runs of a job: filtered by status, page by page. */
export function JobRuns({ job, updates }: JobRunsProps) {
  const list = useListAddress();
  const status = readChoice(STATUSES, list.read('status')) as RunRow['status'] | null;
  const variables = { id: job.id, status: status === null ? null : [status], first: PAGE_SIZE, after: list.after };
  const query = useQuery({ query: LIST_RUNS, variables });
  useReadAgain(query[1]);
  return (
    <Section
      title="Runs"
      actions={
        <Select
          aria-label="Status of the runs"
          data={[{ value: '', label: 'Every status' }, ...STATUSES]}
          value={status ?? ''}
          allowDeselect={false}
          onChange={(value) => list.set('status', value)}
        />
      }
    >
      <Loaded query={query} variables={variables} what="runs">
        {({ job: found }) => {
          const { edges = [], pageInfo = null, totalCount = 0 } = found?.runs ?? {};
          if (edges.length === 0) {
            return (
              <Empty title={status === null ? 'No run yet' : 'No run has this status'}>
                {status === null
                  ? 'Runs start with the schedule of the job, or with the button Run now.'
                  : 'Choose another status to see other runs.'}
              </Empty>
            );
          }
          return (
            <>
              <RunsTable
                label={countOf(totalCount, 'run')}
                jobId={job.id}
                runs={applyUpdates(
                  edges.map(({ node }) => node),
                  updates,
                )}
                zone={job.timeZone}
              />
              {pageInfo && <Pager list={list} pageInfo={pageInfo} />}
            </>
          );
        }}
      </Loaded>
    </Section>
  );
}
