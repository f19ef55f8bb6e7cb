import type { GraphQLClient } from '../api-client/graphql-client.ts';
import { decodeGlobalId } from '../lib/global-ids.ts';
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

/** Returns the id of a job that is given by its id or its name. Throws CommandError if no job has the name. */
export async function findJobId(client: GraphQLClient, nameOrId: string): Promise<string> {
  return decodeGlobalId(nameOrId)?.type === 'Job' ? nameOrId : (await findJob(client, nameOrId)).id;
}

/** Returns the job with this name. Throws CommandError if there is none. */
export async function findJob(client: GraphQLClient, jobName: string): Promise<FoundJob> {
  for (let after: string | null = null; ;) {
    const { jobs }: JobPage = await client.request<JobPage>(
      `query ($search: String, $after: String) {
        jobs(first: 100, search: $search, after: $after) {
          edges { node { id jobName nextRuns(first: 1) } }
          pageInfo { hasNextPage endCursor }
        }
      }`,
      { search: jobName, after },
    );
    const found = jobs.edges.find(({ node }) => node.jobName === jobName);
    if (found) return found.node;
    if (!jobs.pageInfo.hasNextPage) throw new CommandError(`Job "${jobName}" does not exist.`);
    after = jobs.pageInfo.endCursor;
  }
}
