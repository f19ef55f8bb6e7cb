import { Button, Card, Group, Progress, Stack, Text } from '@mantine/core';
import { useState } from 'react';
import { useQuery, useSubscription } from 'urql';
import { useAction } from '../../api/use-action.ts';
import { useCan } from '../../api/viewer.ts';
import { useConfirm } from '../../ui/confirm.tsx';
import { CopyableText } from '../../ui/copy.tsx';
import { countOf, formatBytes, groupDigits } from '../../ui/exact-number.ts';
import { Time, TimeSpan } from '../../ui/figures.tsx';
import { Loaded, ProblemAlert } from '../../ui/states.tsx';
import { Status } from '../../ui/status.tsx';
import { TextLink } from '../../ui/text-link.tsx';
import {
  type Backfill,
  CANCEL_BACKFILL,
  FOLLOW_BACKFILL,
  LIST_FAILED_RUNS,
  PAUSE_BACKFILL,
  RESUME_BACKFILL,
  RETRY_BACKFILL,
} from './backfill-documents.ts';
import { BACKFILL_STATUS, countLeft, findShares, isOpen, listActions } from './backfill-words.ts';
import type { Job } from './job-documents.ts';
import { RunFailure } from './run-failure.tsx';

interface CardProps {
  /** As the list has it. */
  readonly read: Backfill;
  readonly job: Job;
}

/** One backfill: its progress, which is followed while it is open, its error and the actions that change it. */
export function BackfillCard({ read, job }: CardProps) {
  const [{ data }] = useSubscription({
    query: FOLLOW_BACKFILL,
    variables: { id: read.id },
    pause: !isOpen(read),
  });
  const backfill = isOpen(read) && data ? data.backfillUpdated : read;
  const zone = job.timeZone;
  const [tone, text] = BACKFILL_STATUS[backfill.status];
  const shares = findShares(backfill);
  const { delivered, skipped, failed, windows, error } = backfill;
  return (
    <Card component="article" withBorder aria-label={`Backfill, ${text}`}>
      <Stack gap="sm">
        <Group justify="space-between">
          <Group gap="sm">
            <Status tone={tone}>{text}</Status>
            <Text fw={600}>
              <TimeSpan from={backfill.from} to={backfill.to} zone={zone} />
            </Text>
          </Group>
          <BackfillActions backfill={backfill} />
        </Group>
        <Progress.Root size="lg" aria-hidden="true">
          <Progress.Section value={shares.done} color="accent" />
          <Progress.Section value={shares.failed} color="red" striped />
        </Progress.Root>
        <Text role="status" className="figures">
          {countOf(delivered, 'window')} of {groupDigits(windows)} delivered, {groupDigits(skipped)} skipped,{' '}
          {groupDigits(failed)} failed, {groupDigits(countLeft(backfill))} left
        </Text>
        <Text size="sm" c="dimmed">
          {countOf(backfill.rowsWritten, 'row')}, {formatBytes(backfill.bytesWritten)}. Created{' '}
          <Time value={backfill.createdAt} zone={zone} />
          {backfill.finishedAt !== null && (
            <>
              , ended <Time value={backfill.finishedAt} zone={zone} />
            </>
          )}
          .
        </Text>
        <CopyableText text={backfill.id} name="backfill id" />
        {error !== null && (
          <RunFailure
            title={
              backfill.status === 'PAUSED'
                ? 'Paused, because three windows in a row have failed'
                : `The backfill is ${text.toLowerCase()}`
            }
            error={error}
            isRetried={backfill.status === 'CANCELED'}
          />
        )}
        {failed > 0 && <FailedRuns backfill={backfill} job={job} />}
      </Stack>
    </Card>
  );
}

function BackfillActions({ backfill }: { readonly backfill: Backfill }) {
  const mayRun = useCan('JOBS');
  const confirm = useConfirm();
  const variables = { id: backfill.id };
  const pause = useAction(PAUSE_BACKFILL);
  const resume = useAction(RESUME_BACKFILL);
  const retry = useAction(RETRY_BACKFILL);
  const cancel = useAction(CANCEL_BACKFILL);
  if (!mayRun) return null;
  const askAndCancel = async (): Promise<void> => {
    const isConfirmed = await confirm({
      title: 'Cancel this backfill?',
      body: `${countOf(countLeft(backfill), 'window')} will not be delivered, and the runs that have not ended are canceled. Delivered windows remain.`,
      action: 'Cancel backfill',
      isDestructive: true,
    });
    if (isConfirmed) await cancel.run(variables);
  };
  const buttons = {
    pause: { label: 'Pause', run: () => pause.run(variables) },
    resume: { label: 'Resume', run: () => resume.run(variables) },
    retry: { label: 'Retry failed windows', run: () => retry.run(variables) },
    cancel: { label: 'Cancel backfill', run: askAndCancel },
  };
  const problem = pause.problem ?? resume.problem ?? retry.problem ?? cancel.problem;
  return (
    <>
      <Group gap="xs">
        {listActions(backfill).map((action) => (
          <Button key={action} variant="default" size="xs" onClick={() => void buttons[action].run()}>
            {buttons[action].label}
          </Button>
        ))}
      </Group>
      <ProblemAlert problem={problem} />
    </>
  );
}

/** The windows that failed, read when the user asks for them. */
function FailedRuns({ backfill, job }: { readonly backfill: Backfill; readonly job: Job }) {
  const [isOpen, setOpen] = useState(false);
  return (
    <div>
      <Button variant="subtle" size="xs" aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>
        {isOpen ? 'Hide failed runs' : 'Show failed runs'}
      </Button>
      {isOpen && <FailedList backfill={backfill} job={job} />}
    </div>
  );
}

function FailedList({ backfill, job }: { readonly backfill: Backfill; readonly job: Job }) {
  const query = useQuery({ query: LIST_FAILED_RUNS, variables: { id: backfill.id } });
  return (
    <Loaded query={query} what="failed runs">
      {({ node }) => {
        if (node?.__typename !== 'Backfill') return null;
        // A window that was delivered meanwhile counts as skipped.
        const failed = node.runs.edges.filter(({ node: { error } }) => error?.code !== 'DELIVERED');
        return (
          <>
            <ul className="issues">
              {failed.map(({ node: { id, windowStart, windowEnd, error } }) => (
                <li key={id}>
                  <TextLink to={`/jobs/${job.id}/runs/${id}`}>
                    <TimeSpan from={windowStart} to={windowEnd} zone={job.timeZone} />
                  </TextLink>{' '}
                  {error && <code>{error.code}</code>}
                </li>
              ))}
            </ul>
            {backfill.failed > failed.length && <Text>{groupDigits(backfill.failed - failed.length)} more</Text>}
          </>
        );
      }}
    </Loaded>
  );
}
