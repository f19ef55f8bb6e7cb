import { Button, Menu } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useState } from 'react';
import { Link, useNavigate } from 'react-router';
import { useCan } from '../../api/viewer.ts';
import { notifyProblem } from '../../ui/notify.ts';
import { useVisit } from '../../ui/use-visit.ts';
import { useDeleteJob } from '../../ui/use-delete-job.tsx';
import { findProblem } from '../../api/problem.ts';
import { useMutation } from 'urql';
import { type Job, RUN_JOB } from './job-documents.ts';
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
  const begin = useVisit();
  const [isDating, dating] = useDisclosure(false);
  const deleteJob = useDeleteJob();
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
          <Menu.Item
            color="red"
            onClick={() => {
              const show = begin();
              void deleteJob(job).then((isDeleted) => isDeleted && show('/jobs'));
            }}
          >
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
  const begin = useVisit();
  const [isRunning, setRunning] = useState(false);
  const [, execute] = useMutation(RUN_JOB);
  return {
    isRunning,
    run: async (): Promise<void> => {
      const show = begin();
      setRunning(true);
      const result = await execute({ input: { jobId: job.id } });
      setRunning(false);
      const problem = findProblem(result);
      if (problem !== null) notifyProblem(problem);
      else if (result.data?.runJob.__typename === 'Run') show(`/jobs/${job.id}/runs/${result.data.runJob.id}`);
    },
  };
}
