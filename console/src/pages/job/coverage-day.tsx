import { Button, Group, Stack, Text, Title } from '@mantine/core';
import { Link } from 'react-router';
import { useQuery } from 'urql';
import { Empty, Loaded } from '../../ui/states.tsx';
import { COVERAGE_WORDS, type CoveredDay, listHours } from './coverage-days.ts';
import { BackfillLink, SpanOfState } from './coverage-span.tsx';
import { DeliveriesTable } from './delivery-parts.tsx';
import type { Job } from './job-documents.ts';
import { LIST_DELIVERIES } from './run-documents.ts';
import { useReadAgain } from './use-live-runs.ts';
import { clockTimeOf } from '../../ui/zone-dates.ts';
import { formatDate } from './months.ts';

/** Deliveries of one day that are listed: 25 hours, and some that overlap it. Schedules by the minute have more. */
const MAX_DELIVERIES = 50;

interface CoverageDayProps {
  readonly job: Job;
  readonly day: CoveredDay;
  readonly onClose: () => void;
}

/** One day of the calendar: its spans, its hours if the job has hourly buckets, and the deliveries that overlap it. */
export function CoverageDay({ job, day, onClose }: CoverageDayProps) {
  const zone = job.timeZone;
  const [first, last] = [day.parts[0], day.parts.at(-1)];
  const variables = {
    id: job.id,
    from: new Date(first?.from ?? 0).toISOString(),
    to: new Date(last?.to ?? 0).toISOString(),
    first: MAX_DELIVERIES,
  };
  const query = useQuery({ query: LIST_DELIVERIES, variables });
  useReadAgain(query[1]);
  return (
    <Stack component="section" gap="sm" className="selected-day" aria-label={formatDate(day.date)}>
      <Group justify="space-between">
        <Title order={3} size="h4">
          {formatDate(day.date)}
        </Title>
        <Button variant="default" size="xs" onClick={onClose}>
          Close
        </Button>
      </Group>
      <ul className="findings" aria-label="Spans of the day">
        {day.parts.map((part) => (
          <li key={part.from}>
            <SpanOfState part={part} zone={zone} />
            <BackfillLink job={job} part={part} />
          </li>
        ))}
      </ul>
      {job.aggregationBucket === 'HOUR' && (
        <ol className="hours" aria-label="Hours of the day">
          {listHours(day).map(({ from, state }) => (
            <li key={from} data-state={state}>
              <span className="figure">{clockTimeOf(from, zone)}</span> {COVERAGE_WORDS[state].text}
            </li>
          ))}
        </ol>
      )}
      <Loaded query={query} variables={variables} what="the deliveries of the day">
        {({ job: found }) => {
          const { edges = [], pageInfo = null } = found?.deliveries ?? {};
          return edges.length === 0 ? (
            <Empty title="No delivery">No delivery of the job overlaps this day.</Empty>
          ) : (
            <>
              <DeliveriesTable
                label="Deliveries of the day"
                jobId={job.id}
                deliveries={edges.map(({ node }) => node)}
                zone={zone}
              />
              {pageInfo?.hasNextPage && (
                <Text c="dimmed">
                  Only {edges.length} deliveries of this day are shown.{' '}
                  <Link to={`/jobs/${job.id}/deliveries`}>Show all deliveries of the job</Link>
                </Text>
              )}
            </>
          );
        }}
      </Loaded>
    </Stack>
  );
}
