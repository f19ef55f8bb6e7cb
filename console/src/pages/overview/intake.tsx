import { Group, Text, VisuallyHidden } from '@mantine/core';
import { Link } from 'react-router';
import { DataTable } from '../../ui/data-table.tsx';
import { ExactNumber } from '../../ui/figures.tsx';
import { Section } from '../../ui/page.tsx';
import { formatDay } from '../../ui/time-text.ts';
import type { IntakeDay, OverviewData } from './overview-documents.ts';
import { computeHeights, describeDay, describeIntake, sumIntake } from './overview-words.ts';

/** The operations of the last 30 days, with links to the usage of the streams. */
export function Intake({ data: { overview, streams } }: { readonly data: OverviewData }) {
  const { intake } = overview;
  const heights = computeHeights(intake);
  return (
    <Section title="Intake of the last 30 days">
      <Text>{describeIntake(sumIntake(intake))}</Text>
      <ol className="bars" aria-label="Inserted records by UTC day">
        {intake.map((day, index) => (
          <li key={day.date} title={describeDay(day)}>
            <div style={{ height: `${heights[index] ?? 0}%` }} />
            <VisuallyHidden>{describeDay(day)}</VisuallyHidden>
          </li>
        ))}
      </ol>
      <Group justify="space-between" aria-hidden="true">
        <Text size="sm" c="dimmed">
          {formatDay(intake[0]?.date ?? overview.at, 'UTC')}
        </Text>
        <Text size="sm" c="dimmed">
          Today, UTC
        </Text>
      </Group>
      <Figures days={intake} />
      {streams.totalCount > 0 && (
        <Group gap="md">
          <Text c="dimmed">Usage of</Text>
          {streams.edges.map(({ node: { id, name } }) => (
            <Link key={id} to={`/streams/${encodeURIComponent(name)}`} className="breakable">
              {name}
            </Link>
          ))}
          {streams.totalCount > streams.edges.length && <Link to="/streams">Show all streams</Link>}
        </Group>
      )}
    </Section>
  );
}

function Figures({ days }: { readonly days: readonly IntakeDay[] }) {
  const busy = days.filter(({ operations }) => operations > 0).toReversed();
  if (busy.length === 0) return null;
  return (
    <details>
      <summary>Figures by day</summary>
      <DataTable
        label="Intake by day"
        rows={busy}
        rowKey={({ date }) => date}
        columns={[
          { title: 'Day (UTC)', isHeading: true, cell: ({ date }) => formatDay(date, 'UTC') },
          { title: 'Operations', isFigure: true, cell: ({ operations }) => <ExactNumber value={operations} /> },
          {
            title: 'Records inserted',
            isFigure: true,
            cell: ({ insertedRecords }) => <ExactNumber value={insertedRecords} />,
          },
          {
            title: 'Records hidden',
            isFigure: true,
            cell: ({ hiddenRecords }) => <ExactNumber value={hiddenRecords} />,
          },
        ]}
      />
    </details>
  );
}
