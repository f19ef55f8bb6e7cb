import { Select } from '@mantine/core';
import { useQuery } from 'urql';
import { useListAddress } from '../../ui/list-address.ts';
import { Pager } from '../../ui/list.tsx';
import { Section } from '../../ui/page.tsx';
import { Empty, Loaded } from '../../ui/states.tsx';
import { DeliveriesTable } from './delivery-parts.tsx';
import { DELIVERY_STATES } from './delivery-words.ts';
import type { Job } from './job-documents.ts';
import { LIST_DELIVERIES } from './run-documents.ts';
import { useReadAgain } from './use-live-runs.ts';

const PAGE_SIZE = 20;

/** The deliveries of a job: filtered by state, page by page. */
export function JobDeliveries({ job }: { readonly job: Job }) {
  const list = useListAddress();
  const state = DELIVERY_STATES.find(({ value }) => value === list.read('state'))?.value ?? null;
  const variables = { id: job.id, state: state === null ? null : [state], first: PAGE_SIZE, after: list.after };
  const query = useQuery({ query: LIST_DELIVERIES, variables });
  useReadAgain(query[1]);
  return (
    <Section
      title="Deliveries"
      actions={
        <Select
          aria-label="State of the deliveries"
          data={[{ value: '', label: 'Every state' }, ...DELIVERY_STATES.map(({ value, label }) => ({ value, label }))]}
          value={state ?? ''}
          allowDeselect={false}
          onChange={(value) => list.set('state', value)}
        />
      }
    >
      <Loaded query={query} variables={variables} what="deliveries">
        {({ job: found }) => {
          const { edges = [], pageInfo = null } = found?.deliveries ?? {};
          if (edges.length === 0) {
            return (
              <Empty title={state === null ? 'No delivery yet' : 'No delivery has this state'}>
                A delivery is one window of the job in the S3 bucket. Each run writes one.
              </Empty>
            );
          }
          return (
            <>
              <DeliveriesTable
                label="Deliveries"
                jobId={job.id}
                deliveries={edges.map(({ node }) => node)}
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
