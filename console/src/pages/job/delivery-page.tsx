import { Button, Text } from '@mantine/core';
import { useParams } from 'react-router';
import { useQuery } from 'urql';
import { useCan } from '../../api/viewer.ts';
import { CopyableText } from '../../ui/copy.tsx';
import { type Column, DataTable } from '../../ui/data-table.tsx';
import { NotFound } from '../../ui/error-boundary.tsx';
import { countOf } from '../../ui/exact-number.ts';
import { Facts } from '../../ui/facts.tsx';
import { ExactNumber, Time } from '../../ui/figures.tsx';
import { TextLink } from '../../ui/text-link.tsx';
import { Page, Section } from '../../ui/page.tsx';
import { Empty, Loaded, ProblemAlert } from '../../ui/states.tsx';
import { DeliveryStatus, RunStatus } from '../../ui/status.tsx';
import { formatSpan } from '../../ui/time-text.ts';
import { useRedeliver } from './delivery-parts.tsx';
import { describeState } from './delivery-words.ts';
import './job.css';
import { ChangesTable, describeChanges } from './run-changes.tsx';
import { type DeliveryDetails, READ_DELIVERY } from './run-documents.ts';
import { describeTrigger } from './run-words.ts';
import { JobVersion, useLiveRuns, useReadAgain } from './use-live-runs.ts';

/** One window of a job in the S3 bucket: its revisions, what changed with each, and what has changed since. */
export function DeliveryPage() {
  const { id = '', deliveryId = '' } = useParams();
  // Its runs are among those of the job.
  const { version } = useLiveRuns(id);
  return (
    <JobVersion value={version}>
      <LiveDelivery key={deliveryId} id={deliveryId} />
    </JobVersion>
  );
}

function LiveDelivery({ id }: { readonly id: string }) {
  const query = useQuery({ query: READ_DELIVERY, variables: { id } });
  useReadAgain(query[1]);
  const node = query[0].data?.node;
  if (node === null || (node && node.__typename !== 'Delivery')) return <NotFound what="delivery" />;
  if (node === undefined) {
    return (
      <Page title="Delivery" parents={[{ title: 'Jobs', to: '/jobs' }]}>
        <Loaded query={query} what="the delivery">
          {() => null}
        </Loaded>
      </Page>
    );
  }
  return (
    <DeliveryView delivery={node}>
      <Loaded query={query} what="the delivery">
        {() => null}
      </Loaded>
    </DeliveryView>
  );
}

interface DeliveryViewProps {
  readonly delivery: DeliveryDetails;
  readonly children: React.ReactNode;
}

function DeliveryView({ delivery, children }: DeliveryViewProps) {
  const { job, state, windowStart, windowEnd } = delivery;
  const mayRun = useCan('JOBS');
  const zone = job?.timeZone ?? 'UTC';
  const { redeliver, problem, isRedelivering } = useRedeliver(job?.id ?? '');
  return (
    <Page
      title={formatSpan(windowStart, windowEnd, zone)}
      parents={[
        { title: 'Jobs', to: '/jobs' },
        ...(job
          ? [
              { title: job.jobName, to: `/jobs/${job.id}` },
              { title: 'Deliveries', to: `/jobs/${job.id}/deliveries` },
            ]
          : []),
      ]}
      actions={
        mayRun &&
        job !== null &&
        state !== 'RETIRED' && (
          <Button loading={isRedelivering(delivery.id)} onClick={() => void redeliver(delivery.id)}>
            {delivery.revision === 0 ? 'Deliver' : 'Redeliver'}
          </Button>
        )
      }
    >
      <ProblemAlert problem={problem} />
      <div>
        <DeliveryStatus state={state} /> <span className="dimmed">{describeState(state)}</span>
      </div>
      <Facts
        facts={[
          { name: 'Revision', value: delivery.revision === 0 ? 'None' : <ExactNumber value={delivery.revision} /> },
          {
            name: 'Delivered',
            value: delivery.deliveredAt === null ? null : <Time value={delivery.deliveredAt} zone={zone} />,
          },
          {
            name: 'Stale since',
            value: delivery.staleSince === null ? null : <Time value={delivery.staleSince} zone={zone} />,
          },
          {
            name: 'Streams complete',
            value: delivery.complete === null ? null : delivery.complete ? 'Yes' : 'No',
          },
          { name: 'Responsible until', value: <Time value={delivery.owedUntil} zone={zone} /> },
          { name: 'Manifest', value: <CopyableText text={delivery.manifestKey} name="manifest key" /> },
          { name: 'Id', value: <CopyableText text={delivery.id} name="delivery id" /> },
        ]}
      />
      <PendingOperations delivery={delivery} zone={zone} />
      <Revisions delivery={delivery} zone={zone} />
      {children}
    </Page>
  );
}

interface PartProps {
  readonly delivery: DeliveryDetails;
  readonly zone: string;
}

type Operation = DeliveryDetails['pendingOperations'][number];

/** Operations of the ledger that are not in the file yet. Renders nothing if there are none. */
function PendingOperations({ delivery: { pendingOperations: operations }, zone }: PartProps) {
  if (operations.length === 0) return null;
  const columns: Column<Operation>[] = [
    { title: 'Received', isHeading: true, cell: ({ receivedAt }) => <Time value={receivedAt} zone={zone} /> },
    { title: 'Operation', cell: ({ kind }) => kind },
    {
      title: 'Stream',
      cell: ({ stream }) => (
        <TextLink to={`/streams/${encodeURIComponent(stream.name)}`} className="breakable">
          {stream.name}
        </TextLink>
      ),
    },
    { title: 'Added records', isFigure: true, cell: ({ insertedRecords }) => <ExactNumber value={insertedRecords} /> },
    { title: 'Hidden records', isFigure: true, cell: ({ hiddenRecords }) => <ExactNumber value={hiddenRecords} /> },
  ];
  return (
    <Section title="Not delivered yet">
      <Text>
        {operations.length === 100 ? 'The newest 100 operations' : countOf(operations.length, 'operation')} of the
        ledger {operations.length === 1 ? 'has' : 'have'} touched the window since it was delivered.
      </Text>
      <DataTable
        label="Operations that are not delivered"
        rows={operations}
        columns={columns}
        rowKey={({ id }) => id}
      />
    </Section>
  );
}

type Revision = DeliveryDetails['runs']['edges'][number]['node'];

function Revisions({ delivery, zone }: PartProps) {
  const runs = delivery.runs.edges.map(({ node }) => node);
  const jobId = delivery.job?.id;
  const latest = runs.find(({ id }) => id === delivery.currentRun?.id);
  const columns: Column<Revision>[] = [
    {
      title: 'Revision',
      isHeading: true,
      cell: ({ id, revision }) => {
        const text = revision === null ? 'Not started' : `Revision ${revision}`;
        return jobId === undefined ? text : <TextLink to={`/jobs/${jobId}/runs/${id}`}>{text}</TextLink>;
      },
    },
    { title: 'Status', cell: ({ status }) => <RunStatus status={status} /> },
    { title: 'Reason', cell: ({ trigger }) => describeTrigger(trigger) },
    { title: 'Ended', cell: ({ finishedAt }) => finishedAt !== null && <Time value={finishedAt} zone={zone} /> },
    { title: 'Rows', isFigure: true, cell: ({ rowsWritten }) => <ExactNumber value={rowsWritten} /> },
    { title: 'Changes', cell: ({ changes }) => changes && describeChanges(changes) },
  ];
  return (
    <>
      {latest?.changes && (
        <Section title="What the last revision changed">
          <ChangesTable changes={latest.changes} />
        </Section>
      )}
      <Section title="Revisions">
        {runs.length === 0 ? (
          <Empty title="No run">No run of this window is kept.</Empty>
        ) : (
          <DataTable label="Revisions" rows={runs} columns={columns} rowKey={({ id }) => id} />
        )}
        {delivery.runs.pageInfo.hasNextPage && <Text c="dimmed">Only the newest 50 runs are shown.</Text>}
      </Section>
    </>
  );
}
