import { Button } from '@mantine/core';
import { Link } from 'react-router';
import { useQuery } from 'urql';
import { useCan } from '../../api/viewer.ts';
import { useListAddress } from '../../ui/list-address.ts';
import { Pager } from '../../ui/list.tsx';
import { Section } from '../../ui/page.tsx';
import { Empty, Loaded } from '../../ui/states.tsx';
import { LIST_BACKFILLS } from './backfill-documents.ts';
import { BackfillCard } from './backfill-card.tsx';
import type { Job } from './job-documents.ts';
import { useReadAgain } from './use-live-runs.ts';

const PAGE_SIZE = 10;

/** The backfills of a job, each with its progress and the actions that change it. */
export function JobBackfills({ job }: { readonly job: Job }) {
  const list = useListAddress();
  const mayRun = useCan('JOBS');
  const variables = { id: job.id, first: PAGE_SIZE, after: list.after };
  const query = useQuery({ query: LIST_BACKFILLS, variables });
  useReadAgain(query[1]);
  const create = mayRun && job.cron !== null && (
    <Button component={Link} to={`/jobs/${job.id}/backfills/new`} variant="default">
      New backfill
    </Button>
  );
  return (
    <Section title="Backfills" actions={create}>
      <Loaded query={query} variables={variables} what="backfills">
        {({ job: found }) => {
          const { edges = [], pageInfo = null } = found?.backfills ?? {};
          if (edges.length === 0) {
            return (
              <Empty title="No backfill yet">
                {job.cron === null
                  ? 'A backfill delivers the past windows of a schedule, and this job has none.'
                  : 'A backfill delivers the past windows of the schedule, one after the other.'}
              </Empty>
            );
          }
          return (
            <>
              {edges.map(({ node }) => (
                <BackfillCard key={node.id} read={node} job={job} />
              ))}
              {pageInfo && <Pager list={list} pageInfo={pageInfo} />}
            </>
          );
        }}
      </Loaded>
    </Section>
  );
}
