import type { GraphQLClient } from '../../api-client/graphql-client.ts';
import { replaceControlCharacters } from '../../terminal/terminal.ts';
import type { ClientContext } from '../command-context.ts';
import { CommandError, missingValue } from '../command-error.ts';
import type { ClientFlags } from '../endpoint-options.ts';
import { readInputText } from '../ingest/read-input-text.ts';
import { buildJobInput, buildJobPatch, nameSetting } from '../job-flags.ts';
import {
  compareEdits,
  findChanges,
  formatSetting,
  formatTimes,
  JOB_FIELDS,
  pickSettingFields,
  type ReturnedJob,
  type ShownJob,
  toShownJob,
} from '../job-view.ts';
import { type Column, formatColumns } from '../output/print-list.ts';
import { type Refusal, toCommandError, USER_ERRORS } from '../user-errors.ts';
import { withClient } from '../with-client.ts';
import { fetchJob } from './job.ts';

/** The flags of the settings have the names of the settings. */
export interface JobWriteFlags extends ClientFlags, Readonly<Record<string, unknown>> {
  readonly file?: string;
}

export interface JobEditFlags extends JobWriteFlags {
  readonly clear?: readonly string[];
  readonly ifVersion?: number;
}

interface CreatedJob {
  readonly id: string;
  readonly jobName: string;
  readonly s3Url: string;
  readonly timeZone: string;
  readonly nextRuns: readonly string[];
  readonly warnings: readonly string[];
  readonly runs: { readonly edges: readonly { readonly node: { readonly id: string } }[] };
}

export async function createJobCommand(context: ClientContext, flags: JobWriteFlags): Promise<void> {
  const { terminal } = context;
  const { input, flagged } = buildJobInput(await readFileFlag(context, flags), flags);
  await withClient(context, flags, async (client) => {
    const { createJob: result } = await client.request<{ createJob: CreatedJob | Refusal }>(
      `mutation ($input: CreateJobInput!) {
        createJob(input: $input) {
          ... on Job { id jobName s3Url timeZone nextRuns(first: 3) warnings runs(first: 1) { edges { node { id } } } }
          ${USER_ERRORS}
        }
      }`,
      { input },
    );
    if (!('id' in result)) throw toCommandError(result, nameSetting(flagged), 'The job was not created.');
    const { id, jobName, s3Url, timeZone, nextRuns, warnings, runs } = result;
    const runId = runs.edges[0]?.node.id ?? null;
    if (flags.json) {
      terminal.print(`${JSON.stringify({ id, jobName, s3Url, nextRuns, runId, warnings })}\n`);
      return;
    }
    const next = nextRuns.length > 0 ? formatTimes(nextRuns, timeZone) : runId === null ? 'none' : `now, run ${runId}`;
    terminal.print(
      `Created the job "${jobName}".\nId:          ${id}\nDestination: ${replaceControlCharacters(s3Url)}\nNext runs:   ${next}\n`,
    );
    printWarnings(context, warnings);
  });
}

const CHANGE_COLUMNS: readonly Column<ReturnType<typeof findChanges>[number]>[] = [
  { title: 'SETTING', cell: ({ field }) => field },
  { title: 'BEFORE', cell: ({ before }) => formatSetting(before) },
  { title: 'AFTER', cell: ({ after }) => formatSetting(after) },
];

/** Changes settings of a job and prints what changed. If another edit came first, the error shows both. */
export async function editJobCommand(context: ClientContext, nameOrId: string, flags: JobEditFlags): Promise<void> {
  const { terminal } = context;
  const text = await readFileFlag(context, flags);
  const { input, flagged, version } = buildJobPatch(text, flags);
  if (Object.keys(input).length === 0) {
    throw missingValue('Specify what to change: flags, such as --range "ago(7d)", or --file.', text);
  }
  await withClient(context, flags, async (client) => {
    const before = await fetchJob(client, nameOrId);
    const expected = flags.ifVersion ?? version ?? before.version;
    const { updateJob: result } = await client.request<{ updateJob: ReturnedJob | Refusal }>(
      `mutation ($input: UpdateJobInput!) { updateJob(input: $input) { ... on Job { ${JOB_FIELDS} } ${USER_ERRORS} } }`,
      { input: { ...input, id: before.id, version: expected } },
    );
    if (!('id' in result)) {
      const base = before.version === expected ? before : null;
      throw (
        (await explainStaleVersion(client, { id: before.id, expected, base, input })) ??
        toCommandError(result, nameSetting(flagged), 'The job was not changed.')
      );
    }
    const after = toShownJob(result);
    const changes = findChanges(before, after);
    if (flags.json) {
      terminal.print(`${JSON.stringify({ ...after, changes })}\n`);
      return;
    }
    terminal.print(
      changes.length === 0
        ? `The job "${after.jobName}" already has these settings.\n`
        : `Changed the job "${after.jobName}". Its version is ${after.version}.\n${formatColumns(changes, CHANGE_COLUMNS)}`,
    );
    printWarnings(context, after.warnings);
  });
}

interface StaleEdit {
  readonly id: string;
  readonly expected: number;
  readonly base: ShownJob | null;
  readonly input: Readonly<Record<string, unknown>>;
}

const CONFLICT_COLUMNS: readonly Column<ReturnType<typeof compareEdits>[number]>[] = [
  { title: 'SETTING', cell: ({ field }) => field },
  { title: 'BEFORE', cell: ({ base }) => (base === undefined ? '?' : formatSetting(base)) },
  { title: 'STORED NOW', cell: ({ stored }) => formatSetting(stored) },
  { title: 'YOUR EDIT', cell: ({ wanted }) => (wanted === undefined ? '?' : formatSetting(wanted)) },
];

/** Returns an error that shows both edits; null if the version is not the reason of a refusal. */
async function explainStaleVersion(
  client: GraphQLClient,
  { id, expected, base, input }: StaleEdit,
): Promise<CommandError | null> {
  const stored = await fetchJob(client, id);
  if (stored.version === expected) return null;
  const conflicts = compareEdits(base, stored, input);
  return new CommandError(
    [
      `The job was not changed, because it was edited meanwhile: its version is ${stored.version}, and your edit is based on version ${expected}.`,
      ...(conflicts.length === 0 ? [] : [formatColumns(conflicts, CONFLICT_COLUMNS).trimEnd()]),
      `To apply your edit to the stored job, run the command again with --if-version ${stored.version}.`,
    ].join('\n'),
  );
}

interface JobCheck {
  readonly job: { readonly timeZone: string };
  readonly nextWindows: readonly {
    readonly scheduledFor: string;
    readonly windowStart: string;
    readonly windowEnd: string;
    readonly objectKeys: readonly string[];
  }[];
  readonly objectKeys: readonly string[];
  readonly sample: readonly string[];
  readonly warnings: readonly string[];
}

/** Validates the settings of a new job, or of a job with changes, and previews a run. Nothing is stored. */
export async function checkJobCommand(
  context: ClientContext,
  nameOrId: string | undefined,
  flags: JobWriteFlags,
): Promise<void> {
  const { terminal } = context;
  const text = await readFileFlag(context, flags);
  // The settings of a stored job are not known before the request.
  const added = nameOrId === undefined ? buildJobInput(text, flags) : null;
  await withClient(context, flags, async (client) => {
    const stored = nameOrId === undefined ? null : await fetchJob(client, nameOrId);
    const { input, flagged } = added ?? buildJobInput(text, flags, stored ? pickSettingFields(stored) : {});
    const { checkJob: result } = await client.request<{ checkJob: JobCheck | Refusal }>(
      `mutation ($input: CreateJobInput!, $id: ID) {
        checkJob(input: $input, id: $id) {
          ... on JobCheck {
            job { jobName timeZone } nextRuns nextWindows { scheduledFor windowStart windowEnd objectKeys manifestKey }
            objectKeys sample warnings query { windowStart windowEnd meterApiNames }
          }
          ${USER_ERRORS}
        }
      }`,
      { input, id: stored?.id ?? null },
    );
    if (!('sample' in result)) throw toCommandError(result, nameSetting(flagged), 'The job is not valid.');
    if (flags.json) {
      terminal.print(`${JSON.stringify(result)}\n`);
      return;
    }
    terminal.print(formatCheck(result));
    printWarnings(context, result.warnings);
  });
}

function formatCheck({ job, nextWindows, objectKeys, sample }: JobCheck): string {
  const timeOf = (time: string): string => formatTimes([time], job.timeZone);
  const columns: readonly Column<JobCheck['nextWindows'][number]>[] = [
    { title: 'SLOT', cell: ({ scheduledFor }) => timeOf(scheduledFor) },
    { title: 'FROM', cell: ({ windowStart }) => timeOf(windowStart) },
    { title: 'TO', cell: ({ windowEnd }) => timeOf(windowEnd) },
    { title: 'OBJECT', cell: (window) => window.objectKeys.join(', ') },
  ];
  const windows =
    nextWindows.length === 0
      ? 'The schedule has no next slot.\n'
      : `Next windows:\n${formatColumns(nextWindows, columns)}`;
  const rows = sample.length === 0 ? ['(none)'] : sample;
  const lines = (texts: readonly string[]): string =>
    texts.map((text) => `  ${replaceControlCharacters(text)}\n`).join('');
  return `The job is valid. Nothing was stored.\n${windows}Objects of a run now:\n${lines(objectKeys)}First rows of a run now:\n${lines(rows)}`;
}

async function readFileFlag({ env }: ClientContext, { file }: JobWriteFlags): Promise<string | null> {
  return file === undefined ? null : readInputText(file, env);
}

function printWarnings({ terminal }: ClientContext, warnings: readonly string[]): void {
  for (const warning of warnings) terminal.message(`Warning: ${replaceControlCharacters(warning)}`);
}
