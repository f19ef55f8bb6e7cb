import { Button, Stack, Text } from '@mantine/core';
import { useAction } from '../../api/use-action.ts';
import { useCan } from '../../api/viewer.ts';
import { useConfirm } from '../../ui/confirm.tsx';
import { type Column, DataTable } from '../../ui/data-table.tsx';
import { formatBytes } from '../../ui/exact-number.ts';
import { ExactNumber, Time, TimeSpan } from '../../ui/figures.tsx';
import { notifyDone } from '../../ui/notify.ts';
import { ProblemAlert } from '../../ui/states.tsx';
import { RunStatus } from '../../ui/status.tsx';
import { TextLink } from '../../ui/text-link.tsx';
import { CANCEL_RUN, type RunRow } from './run-documents.ts';
import { describeActivity, describeTrigger, formatRunDuration, isActive } from './run-words.ts';
import { useNow } from './use-live-runs.ts';

interface RunProps {
  readonly run: RunRow;
  readonly zone: string;
}

/** The status of a run, and what it does or waits for. */
export function RunActivity({ run, zone }: RunProps) {
  const activity = describeActivity(run, zone);
  return (
    <Stack gap={2} align="flex-start" className="activity">
      <RunStatus status={run.status} />
      {activity !== null && (
        <Text size="sm" c="dimmed" className="figures" aria-live="off">
          {activity}
        </Text>
      )}
      {run.status === 'FAILED' && run.error !== null && (
        <Text size="sm" c="dimmed">
          <code>{run.error.code}</code>
        </Text>
      )}
    </Stack>
  );
}

/** The time that a run has taken. It grows while the run is active. */
export function RunDuration({ run }: { readonly run: RunRow }) {
  const now = useNow(isActive(run) ? 1000 : null);
  return <span className="figure">{formatRunDuration(run, now) ?? ''}</span>;
}

/** Returns a function that asks, and then cancels a run. */
export function useCancelRun(zone: string) {
  const confirm = useConfirm();
  const { run: cancel, problem } = useAction(CANCEL_RUN);
  return {
    problem,
    cancel: async (run: RunRow): Promise<void> => {
      const isConfirmed = await confirm({
        title: 'Cancel this run?',
        body: (
          <Stack gap="xs">
            <Text>
              The window <TimeSpan from={run.windowStart} to={run.windowEnd} zone={zone} /> is not delivered by this
              run.
            </Text>
            <Text>Objects that it has written remain, and no manifest lists them.</Text>
          </Stack>
        ),
        action: 'Cancel run',
        isDestructive: true,
      });
      if (isConfirmed && (await cancel({ id: run.id })) !== null) notifyDone('The run was canceled.');
    },
  };
}

interface RunsTableProps {
  readonly label: string;
  readonly jobId: string;
  readonly runs: readonly RunRow[];
  readonly zone: string;
}

/** Runs of a job. */
export function RunsTable({ label, jobId, runs, zone }: RunsTableProps) {
  const mayRun = useCan('JOBS');
  const { cancel, problem } = useCancelRun(zone);
  const columns: Column<RunRow>[] = [
    {
      title: 'Slot',
      isHeading: true,
      cell: ({ id, scheduledFor }) => (
        <TextLink to={`/jobs/${jobId}/runs/${id}`}>
          <Time value={scheduledFor} zone={zone} />
        </TextLink>
      ),
    },
    { title: 'Status', cell: (run) => <RunActivity run={run} zone={zone} /> },
    { title: 'Reason', cell: ({ trigger }) => describeTrigger(trigger) },
    { title: 'Rows', isFigure: true, cell: ({ rowsWritten }) => <ExactNumber value={rowsWritten} /> },
    {
      title: 'Size',
      isFigure: true,
      cell: ({ bytesWritten }) => <span className="figure">{formatBytes(bytesWritten)}</span>,
    },
    { title: 'Duration', isFigure: true, cell: (run) => <RunDuration run={run} /> },
    ...(mayRun && runs.some(isActive)
      ? [
          {
            title: 'Actions',
            cell: (run: RunRow) =>
              isActive(run) && (
                <Button variant="default" size="xs" onClick={() => void cancel(run)}>
                  Cancel
                </Button>
              ),
          },
        ]
      : []),
  ];
  return (
    <>
      <ProblemAlert problem={problem} />
      <DataTable label={label} rows={runs} columns={columns} rowKey={({ id }) => id} />
    </>
  );
}
