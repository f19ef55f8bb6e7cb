import prettyBytes from 'pretty-bytes';
import { formatCount, pluralize } from '../../lib/format-amounts.ts';
import type { ClientContext } from '../command-context.ts';
import { CommandError } from '../command-error.ts';
import type { ClientFlags, ListFlags } from '../endpoint-options.ts';
import { fetchList } from '../fetch-list.ts';
import { findJobId } from '../find-job.ts';
import { type Column, formatColumns, formatFields, printList } from '../output/print-list.ts';
import { type Refusal, requireResult } from '../user-errors.ts';
import { withClient } from '../with-client.ts';

export interface RunListFlags extends ListFlags {
  readonly job?: string;
  readonly status?: readonly string[];
}

interface ListedRun {
  readonly id: string;
  readonly jobName: string;
  readonly trigger: string;
  readonly status: string;
  readonly attempt: number;
  readonly scheduledFor: string;
  readonly windowStart: string;
  readonly windowEnd: string;
  readonly startedAt: string | null;
  readonly finishedAt: string | null;
  readonly rowsWritten: number;
  readonly bytesWritten: number;
  readonly error: { readonly code: string; readonly message: string } | null;
}

interface ExportObject {
  readonly key: string;
  readonly rows: number;
  readonly bytes: number;
  readonly sha256: string;
}

interface ShownRun extends ListedRun {
  readonly waitsUntil: string | null;
  readonly nextAttemptAt: string | null;
  readonly revision: number | null;
  readonly complete: boolean | null;
  readonly manifestKey: string | null;
  readonly delivery: { readonly id: string } | null;
  readonly backfill: { readonly id: string } | null;
  readonly changes: { readonly rowsAdded: number; readonly rowsChanged: number; readonly rowsRemoved: number } | null;
  readonly objects: readonly ExportObject[];
  readonly warnings: readonly string[];
}

const LIST_FIELDS = `id jobName job { id } trigger status attempt scheduledFor windowStart windowEnd startedAt finishedAt
  rowsWritten bytesWritten error { code message retryable }`;

const FIELDS = `${LIST_FIELDS} waitsUntil nextAttemptAt revision complete manifestKey delivery { id } backfill { id }
  changes { rowsAdded rowsChanged rowsRemoved meters { meterApiName rowsAdded rowsChanged rowsRemoved valueBefore valueAfter } }
  objects { key rows bytes sha256 } warnings`;

const COLUMNS: readonly Column<ListedRun>[] = [
  { title: 'JOB', cell: (run) => run.jobName },
  { title: 'SLOT', cell: (run) => run.scheduledFor },
  { title: 'TRIGGER', cell: (run) => run.trigger },
  { title: 'STATUS', cell: (run) => run.status },
  { title: 'ERROR', cell: (run) => run.error?.code ?? '-' },
  { title: 'ROWS', cell: (run) => formatCount(run.rowsWritten), isFigure: true },
  { title: 'SIZE', cell: (run) => prettyBytes(run.bytesWritten), isFigure: true },
  { title: 'ID', cell: (run) => run.id },
];

export function listRunsCommand(context: ClientContext, flags: RunListFlags): Promise<void> {
  return withClient(context, flags, async (client) => {
    const runs = await fetchList<ListedRun>(client, {
      field: 'runs',
      types: { jobId: 'ID', status: '[RunStatus!]' },
      values: {
        jobId: flags.job === undefined ? null : await findJobId(client, flags.job),
        status: flags.status ?? null,
      },
      selection: LIST_FIELDS,
      limit: flags.limit,
    });
    const advice = 'Start one: npm run -s sluice -- job run JOB';
    printList(context.terminal, runs, { columns: COLUMNS, json: flags.json ?? false, noun: 'runs', advice });
  });
}

export function showRunCommand(context: ClientContext, id: string, flags: ClientFlags): Promise<void> {
  return withClient(context, flags, async (client) => {
    const { run } = await client.request<{ run: ShownRun | null }>(`query ($id: ID!) { run(id: $id) { ${FIELDS} } }`, {
      id,
    });
    if (!run) throw unknownRun(id);
    context.terminal.print(flags.json ? `${JSON.stringify(run)}\n` : formatRun(run));
  });
}

export function cancelRunCommand(context: ClientContext, id: string, flags: ClientFlags): Promise<void> {
  return withClient(context, flags, async (client) => {
    const { cancelRun } = await client.request<{ cancelRun: ShownRun | Refusal }>(
      `mutation ($id: ID!) { cancelRun(id: $id) { ... on Run { ${FIELDS} } ... on UserError { message } } }`,
      { id },
    );
    const run = requireResult(cancelRun);
    context.terminal.print(flags.json ? `${JSON.stringify(run)}\n` : formatRun(run));
  });
}

export function unknownRun(id: string): CommandError {
  return new CommandError(`Run ${id} does not exist. List the ids: npm run -s sluice -- run list`);
}

const OBJECT_COLUMNS: readonly Column<ExportObject>[] = [
  { title: 'OBJECT', cell: ({ key }) => key },
  { title: 'ROWS', cell: ({ rows }) => formatCount(rows), isFigure: true },
  { title: 'BYTES', cell: ({ bytes }) => formatCount(bytes), isFigure: true },
  { title: 'SHA-256', cell: ({ sha256 }) => sha256 },
];

function formatRun(run: ShownRun): string {
  const {
    error,
    changes,
    waitsUntil,
    nextAttemptAt,
    startedAt,
    finishedAt,
    delivery,
    backfill,
    revision,
    manifestKey,
  } = run;
  const optional = (name: string, value: string | null | undefined): [string, string][] =>
    value == null ? [] : [[name, value]];
  const fields: [string, string][] = [
    ['Run', run.id],
    ['Job', run.jobName],
    ['Status', run.attempt > 1 ? `${run.status}, attempt ${run.attempt}` : run.status],
    ...optional('Error', error && `${error.code}: ${error.message}`),
    ...optional('Next attempt', nextAttemptAt),
    ...optional('Waits until', waitsUntil),
    ['Trigger', run.trigger],
    ['Slot', run.scheduledFor],
    ['Window', `${run.windowStart} until ${run.windowEnd}`],
    ...optional('Started', startedAt),
    ...optional('Ended', finishedAt),
    ['Written', `${pluralize(run.rowsWritten, 'row')}, ${prettyBytes(run.bytesWritten)}`],
    ...optional('Complete', run.complete === null ? null : run.complete ? 'yes' : 'no'),
    ...optional('Revision', revision === null ? null : String(revision)),
    ...optional(
      'Changes',
      changes &&
        `${pluralize(changes.rowsChanged, 'row')} changed, ${formatCount(changes.rowsAdded)} added, ${formatCount(changes.rowsRemoved)} removed`,
    ),
    ...optional('Manifest', manifestKey),
    ...optional('Delivery', delivery?.id),
    ...optional('Backfill', backfill?.id),
    ...run.warnings.map((warning): [string, string] => ['Warning', warning]),
  ];
  const objects = run.objects.length === 0 ? '' : `\n${formatColumns(run.objects, OBJECT_COLUMNS)}`;
  return formatFields(fields) + objects;
}
