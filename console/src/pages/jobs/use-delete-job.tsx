import { Stack, Text } from '@mantine/core';
import { useClient } from 'urql';
import { useAction } from '../../api/use-action.ts';
import { useConfirm } from '../../ui/confirm.tsx';
import { countOf } from '../../ui/exact-number.ts';
import { notifyDone, notifyProblem } from '../../ui/notify.ts';
import { COUNT_ACTIVE_RUNS, DELETE_JOB } from './jobs-documents.ts';

interface DeletableJob {
  readonly id: string;
  readonly jobName: string;
  readonly s3Url: string;
}

/** Returns a function that asks, deletes a job, and returns whether it did. */
export function useDeleteJob(): (job: DeletableJob) => Promise<boolean> {
  const client = useClient();
  const confirm = useConfirm();
  const { run } = useAction(DELETE_JOB, notifyProblem);
  return async (job) => {
    const active = await client.query(COUNT_ACTIVE_RUNS, { id: job.id }, { requestPolicy: 'network-only' });
    const runs = active.data?.job?.runs.totalCount ?? 0;
    const isConfirmed = await confirm({
      title: `Delete ${job.jobName}?`,
      body: (
        <Stack gap="xs">
          <Text>This deletes the job and its schedule.</Text>
          <ul className="issues">
            <li>
              {runs === 0
                ? 'No run is queued or running.'
                : `${countOf(runs, 'queued or running run is', 'queued or running runs are')} canceled.`}
            </li>
            <li>Its backfills are canceled.</li>
            <li>
              The objects in <span className="breakable">{job.s3Url}</span> and the history of its runs remain.
            </li>
          </ul>
          <Text>A deleted job cannot be restored.</Text>
        </Stack>
      ),
      action: 'Delete job',
      isDestructive: true,
    });
    if (!isConfirmed || (await run({ id: job.id })) === null) return false;
    notifyDone(`The job ${job.jobName} was deleted.`);
    return true;
  };
}
