import { Button, Menu, Text } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useState } from 'react';
import { Link, useNavigate } from 'react-router';
import { useCan } from '../../api/viewer.ts';
import { useConfirm } from '../../ui/confirm.tsx';
import { notifyDone, notifyProblem } from '../../ui/notify.ts';
import { findProblem } from '../../api/problem.ts';
import { useMutation } from 'urql';
import { DELETE_JOB, type Job, RUN_JOB } from './job-documents.ts';
import { RunForDate } from './run-for-date.tsx';

interface JobProps {
  readonly job: Job;
}

/** What a key with the scope JOBS can do with a job. Renders nothing for others. */
export function JobActions({ job }: JobProps) {
  const mayChange = useCan('JOBS');
  return mayChange ? <Actions job={job} /> : null;
}

function Actions({ job }: JobProps) {
  const navigate = useNavigate();
  const [isDating, dating] = useDisclosure(false);
  const remove = useDelete(job);
  const runNow = useRunNow(job);
  return (
    <>
      <Button onClick={() => void runNow.run()} loading={runNow.isRunning}>
        Run now
      </Button>
      <Button component={Link} to={`/jobs/${job.id}/edit`} variant="default">
        Edit
      </Button>
      <Menu position="bottom-end" withinPortal transitionProps={{ duration: 0 }}>
        <Menu.Target>
          <Button variant="default">More</Button>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Item onClick={dating.open}>Run for a date …</Menu.Item>
          {job.cron !== null && (
            <Menu.Item onClick={() => void navigate(`/jobs/${job.id}/backfills/new`)}>Backfill …</Menu.Item>
          )}
          <Menu.Item onClick={() => void navigate(`/jobs/new?from=${job.id}`)}>Duplicate</Menu.Item>
          <Menu.Divider />
          <Menu.Item color="red" onClick={() => void remove()}>
            Delete …
          </Menu.Item>
        </Menu.Dropdown>
      </Menu>
      <RunForDate job={job} isOpen={isDating} onClose={dating.close} />
    </>
  );
}

/** Queues a run of the job for now, and shows it. */
function useRunNow(job: Job) {
  const navigate = useNavigate();
  const [isRunning, setRunning] = useState(false);
  const [, execute] = useMutation(RUN_JOB);
  return {
    isRunning,
    run: async (): Promise<void> => {
      setRunning(true);
      const result = await execute({ input: { jobId: job.id } });
      setRunning(false);
      const problem = findProblem(result);
      if (problem !== null) notifyProblem(problem);
      else if (result.data?.runJob.__typename === 'Run') void navigate(`/jobs/${job.id}/runs/${result.data.runJob.id}`);
    },
  };
}

function useDelete(job: Job): () => Promise<void> {
  const confirm = useConfirm();
  const navigate = useNavigate();
  const [, execute] = useMutation(DELETE_JOB);
  return async () => {
    const hasBackfill = job.backfills.edges.some(({ node: { status } }) => status === 'RUNNING' || status === 'PAUSED');
    const isConfirmed = await confirm({
      title: `Delete ${job.jobName}?`,
      body: (
        <>
          <Text>A deleted job cannot be restored. This ends:</Text>
          <ul className="issues">
            <li>its schedule, and with it all future deliveries to {job.s3Url}</li>
            <li>its queued and running runs, which are canceled</li>
            {hasBackfill && <li>its backfill, which is canceled</li>}
          </ul>
          <Text mt="xs">The history of its runs and the files in the S3 bucket are kept.</Text>
        </>
      ),
      action: 'Delete job',
      isDestructive: true,
    });
    if (!isConfirmed) return;
    const problem = findProblem(await execute({ id: job.id }));
    if (problem !== null) return notifyProblem(problem);
    notifyDone(`The job ${job.jobName} was deleted.`);
    void navigate('/jobs');
  };
}
