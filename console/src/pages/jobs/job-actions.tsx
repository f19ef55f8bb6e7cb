import { ActionIcon, Button, Group, Menu, Switch } from '@mantine/core';
import { use } from 'react';
import { Link } from 'react-router';
import { useAction } from '../../api/use-action.ts';
import { notifyProblem } from '../../ui/notify.ts';
import { ENABLE_JOB, type ListedJob, RUN_JOB } from './jobs-documents.ts';
import { useDeleteJob } from '../../ui/use-delete-job.tsx';
import { LiveRunsContext } from './use-live-runs.ts';

interface JobProps {
  readonly job: ListedJob;
}

/** Whether the schedule of a job starts runs. */
export function EnabledSwitch({ job }: JobProps) {
  const { run, isRunning } = useAction(ENABLE_JOB, notifyProblem);
  return (
    <Switch
      size="sm"
      label={job.enabled ? 'Enabled' : 'Disabled'}
      aria-label={`Schedule of ${job.jobName}`}
      checked={job.enabled}
      disabled={isRunning}
      onChange={({ currentTarget: { checked } }) => void run({ id: job.id, enabled: checked })}
    />
  );
}

/** Runs, edits, copies or deletes a job of the list. */
export function JobActions({ job, onDeleted }: JobProps & { readonly onDeleted: () => void }) {
  const runs = use(LiveRunsContext);
  const { run, isRunning } = useAction(RUN_JOB, notifyProblem);
  const deleteJob = useDeleteJob();
  const runNow = async (): Promise<void> => {
    const data = await run({ jobId: job.id });
    if (data?.runJob.__typename === 'Run') runs?.add(job.id, data.runJob);
  };
  return (
    <Group gap={4} wrap="nowrap" justify="flex-end">
      <Button
        variant="default"
        size="xs"
        loading={isRunning}
        aria-label={`Run now: ${job.jobName}`}
        onClick={() => void runNow()}
      >
        Run now
      </Button>
      <Menu position="bottom-end" withinPortal>
        <Menu.Target>
          <ActionIcon variant="subtle" color="gray" size="lg" aria-label={`More actions for ${job.jobName}`}>
            ⋯
          </ActionIcon>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Item component={Link} to={`/jobs/${job.id}/edit`}>
            Edit
          </Menu.Item>
          <Menu.Item component={Link} to={`/jobs/new?from=${job.id}`}>
            Duplicate
          </Menu.Item>
          <Menu.Item color="red" onClick={() => void deleteJob(job).then((isDeleted) => isDeleted && onDeleted())}>
            Delete …
          </Menu.Item>
        </Menu.Dropdown>
      </Menu>
    </Group>
  );
}
