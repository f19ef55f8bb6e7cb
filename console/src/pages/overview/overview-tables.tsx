import { Group, Paper, Stack, Text, Title } from '@mantine/core';
import { Link } from 'react-router';
import { DataTable } from '../../ui/data-table.tsx';
import { ExactNumber } from '../../ui/figures.tsx';
import { Section } from '../../ui/page.tsx';
import { RunStatus } from '../../ui/status.tsx';
import type { Overview, OverviewData } from './overview-documents.ts';
import { JobLink, When, WindowLink } from './parts.tsx';

/** How many runs of the last 24 hours have which status, and the latest runs, which may be older. */
export function LatestRuns({ data: { overview, runs } }: { readonly data: OverviewData }) {
  const { at } = overview;
  return (
    <Section title="Runs of the last 24 hours">
      <Group component="ul" className="counts" gap="sm" aria-label="Runs by status">
        {overview.runsLast24Hours.map(({ status, count }) => (
          <Paper component="li" key={status} data-count={count} withBorder px="md" py="xs">
            <Text size="xl" fw={600} lh={1.3} c={count === 0 ? 'dimmed' : undefined}>
              <ExactNumber value={count} />
            </Text>
            <RunStatus status={status} />
          </Paper>
        ))}
      </Group>
      {runs.edges.length > 0 && (
        <Stack gap={4} mt="sm">
          <Title order={3} size="h4">
            Latest runs
          </Title>
          <DataTable
            label="Latest runs"
            rows={runs.edges.map(({ node }) => node)}
            rowKey={({ id }) => id}
            columns={[
              { title: 'Job', isHeading: true, cell: ({ jobName, job }) => <JobLink name={jobName} job={job} /> },
              { title: 'Status', cell: ({ status }) => <RunStatus status={status} /> },
              { title: 'Run for', cell: (run) => <WindowLink of={run} job={run.job} to={`runs/${run.id}`} /> },
              { title: 'Rows', isFigure: true, cell: ({ rowsWritten }) => <ExactNumber value={rowsWritten} /> },
              {
                title: 'Ended',
                cell: ({ finishedAt, job }) => finishedAt !== null && <When value={finishedAt} at={at} job={job} />,
              },
            ]}
          />
        </Stack>
      )}
    </Section>
  );
}

/** The next slots of all enabled jobs. */
export function NextSlots({ overview: { at, nextSlots } }: { readonly overview: Overview }) {
  return (
    <Section title="Next runs">
      {nextSlots.length === 0 ? (
        <Text c="dimmed">
          No job has a schedule that is enabled. <Link to="/jobs">Show all jobs</Link>
        </Text>
      ) : (
        <DataTable
          label="Next runs"
          rows={nextSlots}
          rowKey={({ job, scheduledFor }) => `${job.id} ${scheduledFor}`}
          columns={[
            { title: 'Job', isHeading: true, cell: ({ job }) => <JobLink name={job.jobName} job={job} /> },
            { title: 'Starts', cell: ({ scheduledFor, job }) => <When value={scheduledFor} at={at} job={job} /> },
            { title: 'Window', cell: (slot) => <WindowLink of={slot} job={slot.job} /> },
          ]}
        />
      )}
    </Section>
  );
}
