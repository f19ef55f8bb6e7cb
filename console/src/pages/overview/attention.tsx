import { Alert, Stack, Text, Title } from '@mantine/core';
import { Link } from 'react-router';
import { type Column, DataTable } from '../../ui/data-table.tsx';
import { countOf } from '../../ui/exact-number.ts';
import { Section } from '../../ui/page.tsx';
import { DeliveryStatus, Status } from '../../ui/status.tsx';
import type { Overview } from './overview-documents.ts';
import { countDeliveries, formatLag, isLagging, needsAttention, readCause } from './overview-words.ts';
import { JobLink, When, WindowLink } from './parts.tsx';

/** Failures, deliveries and warnings that a user should look at, or that there are none. */
export function Attention({ overview }: { readonly overview: Overview }) {
  const { at, queueLagSeconds, staleDeliveryCount, missingDeliveryCount } = overview;
  return (
    <Section title="Needs attention">
      {!needsAttention(overview) && (
        <div className="calm">
          <Status tone="good">Nothing</Status>
          <Text>No job failed in its last run, every delivery is up to date, and no job has a warning.</Text>
        </div>
      )}
      {isLagging(overview) && (
        <Alert
          color="orange"
          variant="light"
          title={`A run that is due has waited ${formatLag(queueLagSeconds)} for a worker`}
        >
          Check that a server with the role <code>worker</code> or <code>all</code> is running, and which exports it
          runs.
        </Alert>
      )}
      <Listed
        title={`${countOf(overview.failingJobCount, 'job')} failed in the last run`}
        rows={overview.failingRuns}
        total={overview.failingJobCount}
        columns={[
          { title: 'Job', isHeading: true, cell: ({ jobName, job }) => <JobLink name={jobName} job={job} /> },
          {
            title: 'Cause',
            cell: ({ error }) => (
              <span className="breakable">{error === null ? 'Unknown' : readCause(error.message)}</span>
            ),
          },
          { title: 'Run for', cell: (run) => <WindowLink of={run} job={run.job} to={`runs/${run.id}`} /> },
          {
            title: 'Failed',
            cell: ({ finishedAt, job }) => finishedAt !== null && <When value={finishedAt} at={at} job={job} />,
          },
        ]}
      />
      <Listed
        title={countDeliveries(overview)}
        rows={overview.attentionDeliveries}
        total={staleDeliveryCount + missingDeliveryCount}
        columns={[
          {
            title: 'Job',
            isHeading: true,
            cell: ({ job }) => job !== null && <JobLink name={job.jobName} job={job} />,
          },
          { title: 'State', cell: ({ state }) => <DeliveryStatus state={state} /> },
          {
            title: 'Delivery of',
            cell: (delivery) => <WindowLink of={delivery} job={delivery.job} to={`deliveries/${delivery.id}`} />,
          },
          ...(staleDeliveryCount === 0 ? [] : [staleSinceColumn(at)]),
        ]}
      />
      <Listed
        title={`${countOf(overview.jobWithWarningsCount, 'job')} with warnings`}
        rows={overview.jobsWithWarnings}
        total={overview.jobWithWarningsCount}
        columns={[
          { title: 'Job', isHeading: true, cell: (job) => <JobLink name={job.jobName} job={job} /> },
          {
            title: 'Warnings',
            cell: ({ warnings }) => (
              <Stack gap={4} className="breakable">
                {warnings.map((warning) => (
                  <div key={warning}>{warning}</div>
                ))}
              </Stack>
            ),
          },
        ]}
      />
    </Section>
  );
}

function staleSinceColumn(at: string): Column<Overview['attentionDeliveries'][number]> {
  return {
    title: 'Stale since',
    cell: ({ staleSince, job }) => staleSince !== null && <When value={staleSince} at={at} job={job} />,
  };
}

interface ListedProps<Row> {
  readonly title: string;
  readonly rows: readonly Row[];
  /** Number of rows that exist. */
  readonly total: number;
  readonly columns: readonly Column<Row>[];
}

function Listed<Row extends { readonly id: string }>({ title, rows, total, columns }: ListedProps<Row>) {
  if (rows.length === 0) return null;
  return (
    <Stack gap={4}>
      <Title order={3} size="h4">
        {title}
      </Title>
      <DataTable label={title} rows={rows} columns={columns} rowKey={({ id }) => id} />
      {total > rows.length && (
        <Text size="sm" c="dimmed">
          {rows.length} are listed. <Link to="/jobs">Show all jobs</Link>
        </Text>
      )}
    </Stack>
  );
}
