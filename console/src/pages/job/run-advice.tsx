import { Alert, Button, Group, Text } from '@mantine/core';
import { useState } from 'react';
import { Link } from 'react-router';
import { useMutation } from 'urql';
import { findProblem, type Problem } from '../../api/problem.ts';
import { useCan } from '../../api/viewer.ts';
import { TEST_DESTINATION } from './job-documents.ts';
import type { RunRow } from './run-documents.ts';
import { RunFailure } from './run-failure.tsx';
import { isActive, isDestinationError } from './run-words.ts';

interface RunAdviceProps {
  readonly run: RunRow;
  readonly job: { readonly id: string; readonly s3Url: string };
}

/** The error of a run, and what a user can do about it. Renders nothing for a run without an error, or one that has succeeded. */
export function RunAdvice({ run, job }: RunAdviceProps) {
  const mayChange = useCan('JOBS');
  if (run.error === null || run.status === 'SUCCEEDED') return null;
  const title = isActive(run)
    ? `Attempt ${run.status === 'RUNNING' ? run.attempt - 1 : run.attempt} failed, and the run is retried`
    : run.status === 'CANCELED'
      ? 'The run was canceled'
      : 'The run failed';
  return (
    <RunFailure title={title} error={run.error} isRetried={isActive(run) || run.status === 'CANCELED'}>
      {mayChange &&
        (isDestinationError(run.error.code) ? (
          <DestinationTest job={job} isUrgent={!isActive(run)} />
        ) : (
          <Button component={Link} to={`/jobs/${job.id}/edit`} variant="default">
            Edit the job
          </Button>
        ))}
    </RunFailure>
  );
}

/** Writes an object to the destination of the job, and shows what the store answers. */
function DestinationTest({ job, isUrgent }: Pick<RunAdviceProps, 'job'> & { readonly isUrgent: boolean }) {
  const [{ fetching }, execute] = useMutation(TEST_DESTINATION);
  const [outcome, setOutcome] = useState<Problem | 'accepted' | null>(null);
  const test = async (): Promise<void> => {
    setOutcome(null);
    setOutcome(findProblem(await execute({ jobId: job.id })) ?? 'accepted');
  };
  return (
    <>
      <Group gap="xs">
        <Button component={Link} to={`/jobs/${job.id}/edit`} variant={isUrgent ? 'filled' : 'default'}>
          Change the destination
        </Button>
        <Button variant="default" loading={fetching} onClick={() => void test()}>
          Test the destination
        </Button>
      </Group>
      {outcome === 'accepted' && (
        <Alert color="green" role="status" variant="outline" title="The destination accepts objects">
          <Text className="breakable">Sluice wrote a test object below {job.s3Url}. Run the job again.</Text>
        </Alert>
      )}
      {outcome !== null && outcome !== 'accepted' && (
        <RunFailure title="The destination refuses objects" error={{ message: outcome.message }} />
      )}
    </>
  );
}
