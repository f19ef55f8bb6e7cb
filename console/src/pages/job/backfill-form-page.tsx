import { Button, Group, Radio, Stack, Text, TextInput } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { useEffect, useState } from 'react';
import { Link, useNavigate, useParams, useSearchParams } from 'react-router';
import { useQuery } from 'urql';
import { findProblem } from '../../api/problem.ts';
import { useAction } from '../../api/use-action.ts';
import { useCan } from '../../api/viewer.ts';
import { type Column, DataTable } from '../../ui/data-table.tsx';
import { NotFound } from '../../ui/error-boundary.tsx';
import { countOf, formatBytes, groupDigits } from '../../ui/exact-number.ts';
import { Facts } from '../../ui/facts.tsx';
import { Time, TimeSpan } from '../../ui/figures.tsx';
import { Page, Section } from '../../ui/page.tsx';
import { Empty, Loaded, Loading, ProblemAlert } from '../../ui/states.tsx';
import { DeliveryStatus } from '../../ui/status.tsx';
import { useUnsavedChanges } from '../../ui/unsaved.tsx';
import { type BackfillPreview, CREATE_BACKFILL, PREVIEW_BACKFILL } from './backfill-documents.ts';
import { countRuns } from './backfill-words.ts';
import { type Job, READ_JOB } from './job-documents.ts';
import { addDays, dateOf, startOfDay } from '../../ui/zone-dates.ts';

const REPROCESS = [
  { value: 'MISSING', label: 'Missing windows', description: 'Windows that were never delivered.' },
  {
    value: 'STALE',
    label: 'Missing and outdated windows',
    description: 'Also windows that the ledger, or an edit of the job, has changed since.',
  },
  { value: 'ALL', label: 'Every window', description: 'Also those whose files agree with the ledger.' },
] as const;

const ORDERS = [
  { value: 'OLDEST_FIRST', label: 'Oldest first' },
  { value: 'NEWEST_FIRST', label: 'Newest first' },
] as const;

/** The form of a backfill, with a preview of what it would deliver. */
export function BackfillFormPage() {
  const { id = '' } = useParams();
  const mayRun = useCan('JOBS');
  const query = useQuery({ query: READ_JOB, variables: { id } });
  const job = query[0].data?.job;
  if (job === null) return <NotFound what="job" />;
  const parents = [
    { title: 'Jobs', to: '/jobs' },
    ...(job
      ? [
          { title: job.jobName, to: `/jobs/${id}` },
          { title: 'Backfills', to: `/jobs/${id}/backfills` },
        ]
      : []),
  ];
  return (
    <Page
      title="New backfill"
      description="A backfill delivers past windows of the schedule, one after the other. Slots and corrections of the job run first."
      parents={parents}
    >
      {mayRun ? (
        <Loaded query={query} what="the job">
          {({ job: found }) => found && <FormOfJob key={found.id} job={found} />}
        </Loaded>
      ) : (
        <Empty title="Your key cannot create backfills">Sign in with a key that has the scope JOBS.</Empty>
      )}
    </Page>
  );
}

const DATE = /^\d{4}-\d\d-\d\d$/;

function FormOfJob({ job }: { readonly job: Job }) {
  if (job.cron !== null) return <BackfillForm job={job} />;
  return (
    <Empty
      title="This job has no schedule"
      action={
        <Button component={Link} to={`/jobs/${job.id}/edit`} variant="default">
          Edit the job
        </Button>
      }
    >
      The windows of a backfill are those of the schedule.
    </Empty>
  );
}

function BackfillForm({ job }: { readonly job: Job }) {
  const zone = job.timeZone;
  const navigate = useNavigate();
  const [parameters] = useSearchParams();
  const [today] = useState(() => dateOf(Date.now(), zone));
  const [from, setFrom] = useState(parameters.get('from') ?? addDays(today, -30));
  const [through, setThrough] = useState(parameters.get('through') ?? addDays(today, -1));
  const [reprocess, setReprocess] = useState(
    REPROCESS.find(({ value }) => value === parameters.get('reprocess'))?.value ?? 'MISSING',
  );
  const [order, setOrder] = useState<(typeof ORDERS)[number]['value']>('OLDEST_FIRST');
  const { run, problem: failed, isRunning, clear } = useAction(CREATE_BACKFILL);
  const [isChanged, setChanged] = useState(false);
  const [isCreated, setCreated] = useState(false);
  useUnsavedChanges(isChanged && !isCreated);
  // After useUnsavedChanges(), which then no longer asks.
  useEffect(() => {
    if (isCreated) void navigate(`/jobs/${job.id}/backfills`);
  }, [isCreated, navigate, job.id]);
  const onChange =
    <Value,>(set: (value: Value) => void) =>
    (value: Value): void => {
      set(value);
      setChanged(true);
      // A problem of the last attempt holds for the values before.
      clear();
    };
  const isComplete = DATE.test(from) && DATE.test(through);
  const [span] = useDebouncedValue(`${from} ${through}`, 300);
  const [spanFrom = '', spanThrough = ''] = span.split(' ');
  const input = {
    jobId: job.id,
    from: DATE.test(spanFrom) ? new Date(startOfDay(spanFrom, zone)).toISOString() : '',
    to: DATE.test(spanThrough) ? new Date(startOfDay(addDays(spanThrough, 1), zone)).toISOString() : '',
    reprocess,
    order,
  };
  const [{ data, error, fetching }] = useQuery({
    query: PREVIEW_BACKFILL,
    variables: { input },
    pause: input.from === '' || input.to === '',
    requestPolicy: 'network-only',
  });
  const previewProblem = findProblem({ data, error });
  const problem = failed ?? previewProblem;
  // With an error, the data is that of an earlier preview.
  const preview =
    previewProblem === null && data?.previewBackfill.__typename === 'BackfillPreview' ? data.previewBackfill : null;
  const isCurrent = !fetching && `${from} ${through}` === span;
  const runs = preview === null ? 0 : countRuns(preview, reprocess);
  const submit = async (): Promise<void> => {
    const created = await run({ input });
    if (created?.createBackfill.__typename === 'Backfill') setCreated(true);
  };
  return (
    <form
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        void submit();
      }}
    >
      <Stack gap="lg">
        <Group align="flex-start" className="dates">
          <TextInput
            type="date"
            label="First day"
            description={`In ${zone}`}
            value={from}
            onChange={({ currentTarget: { value } }) => onChange(setFrom)(value)}
            error={problem?.issues['from'] ?? (DATE.test(from) ? undefined : 'Enter a date.')}
          />
          <TextInput
            type="date"
            label="Last day"
            description="Inclusive"
            value={through}
            onChange={({ currentTarget: { value } }) => onChange(setThrough)(value)}
            error={problem?.issues['to'] ?? (DATE.test(through) ? undefined : 'Enter a date.')}
          />
        </Group>
        <Radio.Group label="Windows to deliver" value={reprocess} onChange={onChange(setReprocess)}>
          <Stack gap="xs" mt="xs">
            {REPROCESS.map((choice) => (
              <Radio key={choice.value} {...choice} />
            ))}
          </Stack>
        </Radio.Group>
        <Radio.Group label="Order" value={order} onChange={onChange(setOrder)}>
          <Group mt="xs">
            {ORDERS.map((choice) => (
              <Radio key={choice.value} {...choice} />
            ))}
          </Group>
        </Radio.Group>
        <ProblemAlert problem={problem} fields={['from', 'to']} />
        {preview !== null && <Preview preview={preview} runs={runs} zone={zone} />}
        {preview === null && problem === null && isComplete && <Loading what="the preview" />}
        <Group>
          <Button type="submit" loading={isRunning} disabled={!isComplete || !isCurrent || runs === 0}>
            {runs === 0 ? 'Nothing to deliver' : `Deliver ${countOf(runs, 'window')}`}
          </Button>
          <Button component={Link} to={`/jobs/${job.id}/backfills`} variant="default">
            Cancel
          </Button>
        </Group>
      </Stack>
    </form>
  );
}

interface PreviewProps {
  readonly preview: BackfillPreview;
  readonly runs: number;
  readonly zone: string;
}

type Window = BackfillPreview['firstWindows'][number];
const SHOWN_WINDOWS = 10;

function Preview({ preview, runs, zone }: PreviewProps) {
  const { windows, missing, stale, current, estimatedRows, estimatedBytes, firstWindows } = preview;
  const columns: Column<Window>[] = [
    {
      title: 'Window',
      isHeading: true,
      cell: ({ windowStart, windowEnd }) => <TimeSpan from={windowStart} to={windowEnd} zone={zone} />,
    },
    { title: 'State now', cell: ({ state }) => <DeliveryStatus state={state} /> },
    { title: 'Slot', cell: ({ scheduledFor }) => <Time value={scheduledFor} zone={zone} /> },
  ];
  return (
    <Section title="Preview">
      <Facts
        facts={[
          { name: 'Windows in the span', value: <span className="figure">{groupDigits(windows)}</span> },
          { name: 'Missing', value: groupDigits(missing) },
          { name: 'Outdated', value: groupDigits(stale) },
          { name: 'Up to date', value: groupDigits(current) },
          {
            name: 'Estimated output',
            value:
              runs === 0
                ? null
                : estimatedRows === null
                  ? 'Unknown, because the job has no delivery yet'
                  : `${countOf(estimatedRows, 'row')}, ${formatBytes(estimatedBytes ?? 0)}`,
          },
        ]}
      />
      {windows === 0 ? (
        <Empty title="No window in this span">
          Windows that start earlier, end later or have not ended are left out.
        </Empty>
      ) : (
        <>
          <DataTable
            label="First windows"
            rows={firstWindows.slice(0, SHOWN_WINDOWS)}
            columns={columns}
            rowKey={({ scheduledFor }) => scheduledFor}
          />
          {windows > SHOWN_WINDOWS && <Text c="dimmed">and {countOf(windows - SHOWN_WINDOWS, 'more window')}</Text>}
        </>
      )}
    </Section>
  );
}
