import { Stack, Text } from '@mantine/core';
import { useClient } from 'urql';
import { useAction } from '../api/use-action.ts';
import { useConfirm } from './confirm.tsx';
import { COUNT_ACTIVE_RUNS, DELETE_JOB } from './delete-job-documents.ts';
import { countOf } from './exact-number.ts';
import { notifyDone, notifyProblem } from './notify.ts';

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
          <Text>A deleted job cannot be restored. This ends:</Text>
          <ul className="issues">
            <li>
              its schedule, and with it all future deliveries to <span className="breakable">{job.s3Url}</span>
            </li>
            {runs > 0 && <li>{countOf(runs, 'queued or running run', 'queued or running runs')}</li>}
            <li>its backfill, if one is active</li>
          </ul>
          <Text>The history of its runs and the objects in the S3 bucket are kept.</Text>
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
