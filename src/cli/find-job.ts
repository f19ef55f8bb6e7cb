import type { GraphQLClient } from '../api-client/graphql-client.ts';
import { decodeGlobalId } from '../lib/global-ids.ts';
import { findNearestName } from '../lib/nearest-name.ts';
import { replaceControlCharacters } from '../terminal/terminal.ts';
import { CommandError } from './command-error.ts';

export interface FoundJob {
  readonly id: string;
  readonly jobName: string;
  readonly nextRuns: readonly string[];
}

interface JobPage {
  readonly jobs: {
    readonly edges: readonly { readonly node: FoundJob }[];
    readonly pageInfo: { readonly hasNextPage: boolean; readonly endCursor: string };
  };
}

const FIELDS = 'id jobName nextRuns(first: 1)';

/** Returns the id of a job that is given by its id or its name. Throws CommandError if no job has the name. */
export async function findJobId(client: GraphQLClient, nameOrId: string): Promise<string> {
  return isJobId(nameOrId) ? nameOrId : (await findJobByName(client, nameOrId)).id;
}

/** Returns the job with this name or id. Throws CommandError if it does not exist. */
export async function findJob(client: GraphQLClient, nameOrId: string): Promise<FoundJob> {
  if (!isJobId(nameOrId)) return findJobByName(client, nameOrId);
  const { job } = await client.request<{ job: FoundJob | null }>(`query ($id: ID!) { job(id: $id) { ${FIELDS} } }`, {
    id: nameOrId,
  });
  if (!job) throw unknownJob(nameOrId);
  return job;
}

export function unknownJob(nameOrId: string, similar: string | null = null): CommandError {
  const hint = similar === null ? '' : ` Did you mean "${similar}"?`;
  return new CommandError(`Job "${replaceControlCharacters(nameOrId)}" does not exist.${hint}`);
}

/** Returns the most similar name of the newest 100 jobs; null if none is similar. */
async function findSimilarName(client: GraphQLClient, jobName: string): Promise<string | null> {
  const { jobs } = await client.request<{ jobs: { edges: readonly { readonly node: { jobName: string } }[] } }>(
    '{ jobs(first: 100) { edges { node { jobName } } } }',
  );
  return findNearestName(
    jobName,
    jobs.edges.map(({ node }) => node.jobName),
  );
}

function isJobId(text: string): boolean {
  return decodeGlobalId(text)?.type === 'Job';
}

async function findJobByName(client: GraphQLClient, jobName: string): Promise<FoundJob> {
  for (let after: string | null = null; ;) {
    const { jobs }: JobPage = await client.request<JobPage>(
      `query ($search: String, $after: String) {
        jobs(first: 100, search: $search, after: $after) {
          edges { node { ${FIELDS} } }
          pageInfo { hasNextPage endCursor }
        }
      }`,
      { search: jobName, after },
    );
    const found = jobs.edges.find(({ node }) => node.jobName === jobName);
    if (found) return found.node;
    if (!jobs.pageInfo.hasNextPage) throw unknownJob(jobName, await findSimilarName(client, jobName));
    after = jobs.pageInfo.endCursor;
  }
}
