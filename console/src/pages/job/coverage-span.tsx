import { Button } from '@mantine/core';
import { Link } from 'react-router';
import { useCan } from '../../api/viewer.ts';
import { formatSpan } from '../../ui/time-text.ts';
import { SIGNS } from './coverage-calendar.tsx';
import { COVERAGE_WORDS, type Part } from './coverage-days.ts';
import type { Job } from './job-documents.ts';
import { dateOf } from '../../ui/zone-dates.ts';

/** A state and its span. */
export function SpanOfState({ part: { state, from, to }, zone }: { readonly part: Part; readonly zone: string }) {
  return (
    <span>
      <span className="swatch" data-state={state} aria-hidden="true">
        {SIGNS[state]}
      </span>{' '}
      <strong>{COVERAGE_WORDS[state].text}</strong>{' '}
      {formatSpan(new Date(from).toISOString(), new Date(to).toISOString(), zone)}
    </span>
  );
}

/** A link to the form of a backfill of a span. Renders nothing if the job has no schedule, or the key may not change jobs. */
export function BackfillLink({ job, part: { state, from, to } }: { readonly job: Job; readonly part: Part }) {
  const mayRun = useCan('JOBS');
  if (!mayRun || job.cron === null || (state !== 'missing' && state !== 'stale' && state !== 'undelivered'))
    return null;
  const through = dateOf(to - 1, job.timeZone);
  const search = new URLSearchParams({
    from: dateOf(from, job.timeZone),
    through,
    ...(state === 'stale' && { reprocess: 'STALE' }),
  });
  return (
    <Button component={Link} to={`/jobs/${job.id}/backfills/new?${search.toString()}`} variant="default" size="xs">
      Backfill
    </Button>
  );
}
