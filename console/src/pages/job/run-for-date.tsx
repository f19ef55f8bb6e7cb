import { Button, Group, Modal, Stack, Text, TextInput } from '@mantine/core';
import { useState } from 'react';
import { useAction } from '../../api/use-action.ts';
import { Time } from '../../ui/figures.tsx';
import { ProblemAlert } from '../../ui/states.tsx';
import { useVisit } from '../../ui/use-visit.ts';
import { type Job, RUN_JOB } from './job-documents.ts';
import { describeRange } from './run-words.ts';
import { clockTimeOf, dateOf, instantOf } from '../../ui/zone-dates.ts';

interface RunForDateProps {
  readonly job: Job;
  readonly isOpen: boolean;
  readonly onClose: () => void;
}

/** Queues a run for a slot that the user names, in the time zone of the job. */
export function RunForDate({ job, isOpen, onClose }: RunForDateProps) {
  return (
    <Modal
      opened={isOpen}
      onClose={onClose}
      title={`Run ${job.jobName} for a date`}
      closeButtonProps={{ 'aria-label': 'Close' }}
    >
      <SlotForm job={job} onClose={onClose} />
    </Modal>
  );
}

const WALL_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d/;

function SlotForm({ job, onClose }: Omit<RunForDateProps, 'isOpen'>) {
  const zone = job.timeZone;
  const begin = useVisit();
  const { run, problem, isRunning } = useAction(RUN_JOB);
  const [text, setText] = useState(() => `${dateOf(Date.now(), zone)}T${clockTimeOf(Date.now(), zone)}`);
  const slot = WALL_TIME.test(text) ? new Date(instantOf(text.slice(0, 16), zone)).toISOString() : null;
  const submit = async (): Promise<void> => {
    if (slot === null) return;
    const show = begin();
    const data = await run({ input: { jobId: job.id, scheduledFor: slot } });
    if (data?.runJob.__typename !== 'Run') return;
    if (show(`/jobs/${job.id}/runs/${data.runJob.id}`)) onClose();
  };
  return (
    <form
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        void submit();
      }}
    >
      <Stack>
        <TextInput
          type="datetime-local"
          label={`Slot in ${zone}`}
          description="The window is computed from the slot, as if the schedule had started the run then."
          value={text}
          onChange={({ currentTarget: { value } }) => setText(value)}
          error={problem?.issues['scheduledFor'] ?? (slot === null ? 'Enter a date and a time.' : undefined)}
          data-autofocus
        />
        <Text size="sm" c="dimmed">
          {slot !== null && (
            <>
              Window: {describeRange(job.range)} before <Time value={slot} zone={zone} />
            </>
          )}
        </Text>
        <ProblemAlert problem={problem} fields={['scheduledFor']} />
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose}>
            Cancel
          </Button>
          <Button type="submit" loading={isRunning} disabled={slot === null}>
            Queue run
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
