import { Box, Text } from '@mantine/core';
import { describeRetry } from '../../ui/attempts.ts';
import { countOf, formatBytes } from '../../ui/exact-number.ts';
import { Time } from '../../ui/figures.tsx';
import { RunStatus } from '../../ui/status.tsx';
import type { LastRun as Run, ListedJob } from './jobs-documents.ts';
import { useLastRun } from './use-live-runs.ts';

/** The newest run of a job, with its progress while it is active. Renders again at each event of the job. */
export function LastRun({ job }: { readonly job: ListedJob }) {
  const run = useLastRun(job.id, job.runs.edges[0]?.node);
  if (run === undefined) return <Text c="dimmed">Never ran</Text>;
  return (
    <Box className="two-lines">
      <RunStatus status={run.status} />
      <Text size="sm" c="dimmed" component="div">
        <RunDetail run={run} zone={job.timeZone} />
      </Text>
    </Box>
  );
}

function RunDetail({ run, zone }: { readonly run: Run; readonly zone: string }) {
  switch (run.status) {
    case 'QUEUED':
      if (run.waitsUntil !== null) {
        return (
          <>
            Waits for complete streams until <Time value={run.waitsUntil} zone={zone} />
          </>
        );
      }
      if (run.nextAttemptAt !== null) return describeRetry(run.attempt, run.nextAttemptAt, zone);
      return 'Starts as soon as a worker is free';
    case 'RUNNING':
      return (
        <span className="figure">
          {countOf(run.rowsWritten, 'row')}, {formatBytes(run.bytesWritten)} written
        </span>
      );
    case 'FAILED':
      return (
        <Text size="sm" c="var(--mantine-color-error)" lineClamp={3} {...(run.error && { title: run.error.message })}>
          {run.error?.message ?? 'No reason was recorded.'}
        </Text>
      );
    case 'SUCCEEDED':
    case 'CANCELED':
      return <Time value={run.finishedAt ?? run.scheduledFor} zone={zone} />;
  }
}
