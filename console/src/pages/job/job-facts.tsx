import { Text } from '@mantine/core';
import { useNow } from './use-live-runs.ts';
import { CopyableText } from '../../ui/copy.tsx';
import { type Fact, Facts } from '../../ui/facts.tsx';
import { Time } from '../../ui/figures.tsx';
import { describeSchedule } from '../../ui/schedule-text.ts';
import { formatDistance } from '../../ui/time-text.ts';
import type { Job } from './job-documents.ts';
import { describeRange } from './run-words.ts';

/** What a reader of the job needs first: when it runs next, and where it writes. */
export function JobFacts({ job }: { readonly job: Job }) {
  const [next] = job.nextRuns;
  const now = useNow(next === undefined ? null : 30_000);
  const facts: Fact[] = [
    { name: 'Schedule', value: describeSchedule(job) },
    {
      name: 'Next run',
      value:
        next === undefined ? (
          'None'
        ) : (
          <>
            <Time value={next} zone={job.timeZone} />
            <Text size="sm" c="dimmed">
              {formatDistance(next, now)}
            </Text>
          </>
        ),
    },
    { name: 'Destination', value: <CopyableText text={job.s3Url} name="destination" /> },
    { name: 'Window', value: describeRange(job.range) },
  ];
  return <Facts facts={facts} />;
}
