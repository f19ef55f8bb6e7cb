import { createGraphQLClient } from '../../api-client/graphql-client.ts';
import { replaceControlCharacters } from '../../terminal/terminal.ts';
import { type ApiEndpoint, type EndpointOptions, withEndpoint } from '../api-endpoint.ts';
import type { ClientContext } from '../command-context.ts';
import { CommandError } from '../command-error.ts';
import { readInputText } from '../ingest/read-input-text.ts';
import { buildJobInput, formatJobIssue, type JobInput, type JobIssue } from '../job-flags.ts';

/** The flags of the settings have the names of the settings. */
export interface JobCreateFlags extends EndpointOptions, Readonly<Record<string, unknown>> {
  readonly file?: string;
  readonly json?: boolean;
}

interface CreatedJob {
  readonly id: string;
  readonly jobName: string;
  readonly s3Url: string;
  readonly nextRuns: readonly string[];
  readonly warnings: readonly string[];
  readonly runs: { readonly edges: readonly { readonly node: { readonly id: string } }[] };
}

interface Refusal {
  readonly message: string;
  readonly issues?: readonly JobIssue[];
  readonly issueCount?: number;
}

const MUTATION = `mutation ($input: CreateJobInput!) {
  createJob(input: $input) {
    ... on Job { id jobName s3Url nextRuns(first: 3) warnings runs(first: 1) { edges { node { id } } } }
    ... on UserError { message }
    ... on ValidationError { issueCount issues { path message } }
  }
}`;

export async function createJobCommand(context: ClientContext, flags: JobCreateFlags): Promise<void> {
  const text = flags.file === undefined ? null : await readInputText(flags.file, context.env);
  const job = buildJobInput(text, flags);
  await withEndpoint(flags, context.env, (endpoint) => createJob(context, job, flags.json ?? false, endpoint));
}

async function createJob(
  { terminal }: ClientContext,
  { input, flagged }: JobInput,
  asJson: boolean,
  endpoint: ApiEndpoint,
): Promise<void> {
  const client = createGraphQLClient({ ...endpoint, signal: new AbortController().signal });
  const { createJob: result } = await client.request<{ createJob: CreatedJob | Refusal }>(MUTATION, { input });
  if (!('id' in result)) throw new CommandError(formatRefusal(result, flagged));
  const { id, jobName, s3Url, nextRuns, warnings, runs } = result;
  const runId = runs.edges[0]?.node.id ?? null;
  if (asJson) {
    terminal.print(`${JSON.stringify({ id, jobName, s3Url, nextRuns, runId, warnings })}\n`);
    return;
  }
  const next = nextRuns.length > 0 ? nextRuns.join(', ') : runId === null ? 'none' : `now, run ${runId}`;
  terminal.print(
    `Created the job "${jobName}".\nId:          ${id}\nDestination: ${replaceControlCharacters(s3Url)}\nNext runs:   ${next}\n`,
  );
  for (const warning of warnings) terminal.message(`Warning: ${replaceControlCharacters(warning)}`);
}

function formatRefusal({ message, issues = [], issueCount = issues.length }: Refusal, flagged: ReadonlySet<string>) {
  if (issues.length === 0) return replaceControlCharacters(message);
  const more = issueCount > issues.length ? [`and ${issueCount - issues.length} more`] : [];
  return [
    'The job was not created.',
    ...issues.map((issue) => replaceControlCharacters(formatJobIssue(issue, flagged))),
    ...more,
  ].join('\n');
}
