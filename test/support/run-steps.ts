import { randomUUID } from 'node:crypto';
import { claimRun } from '../../src/runs/claim.ts';
import { endAttempt, type LeasedRun, renewLease } from '../../src/runs/lease.ts';
import { encodeGlobalId } from '../../src/lib/global-ids.ts';
import type { TestServer } from './server.ts';

/** A job whose runs the test executes step by step instead of a worker. Start the server with ROLE=api. */
export interface SteppedJob {
  /** Global id. */
  readonly id: string;
  /** Queues a run. */
  run(): Promise<SteppedRun>;
}

export interface SteppedRun {
  readonly id: string;
  /** QUEUED -> RUNNING. */
  start(): Promise<void>;
  /** Adds `rows` to the rows written of the RUNNING run. */
  progress(rows: number): Promise<void>;
  succeed(): Promise<void>;
  fail(): Promise<void>;
}

const LEASE_MS = 60_000;

export async function createSteppedJob(server: TestServer, key = server.key): Promise<SteppedJob> {
  const { database, queue } = server.resources;
  const { createJob } = await server.graphql<{ createJob: { id: string } }>(
    `mutation ($input: CreateJobInput!) { createJob(input: $input) { ... on Job { id } ... on UserError { message } } }`,
    {
      input: {
        jobName: `Job ${randomUUID()}`,
        s3Url: `exports/${randomUUID()}`,
        format: 'CSV',
        aggregationBucket: 'DAY',
        range: 'ago(1d)',
        enabled: false,
      },
    },
    key,
  );
  const jobId = Buffer.from(createJob.id, 'base64url').toString().slice('Job:'.length);
  return {
    id: createJob.id,
    run: async () => {
      const { runJob } = await server.graphql<{ runJob: { id: string } }>(
        `mutation ($id: ID!) { runJob(input: { jobId: $id }) { ... on Run { id } ... on UserError { message } } }`,
        { id: createJob.id },
        key,
      );
      let leased: LeasedRun | null = null;
      const held = (): LeasedRun => {
        if (!leased) throw new Error('The run was not started.');
        return leased;
      };
      const end = async (event: 'SUCCEED' | 'FAIL'): Promise<void> => {
        await endAttempt(
          database.acrossAccounts,
          queue,
          held(),
          event === 'SUCCEED'
            ? { event, totals: { rows: 7, bytes: 70 } }
            : { event, failure: { code: 'ACCESS_DENIED', message: 'No.', retryable: false } },
          [],
          0.5,
        );
      };
      return {
        id: runJob.id,
        start: async () => {
          const claim = await claimRun(database.acrossAccounts, jobId, LEASE_MS);
          if (!claim || !('run' in claim)) throw new Error('The run could not be started.');
          if (encodeGlobalId('Run', claim.run.id) !== runJob.id) throw new Error('Another run of the job was older.');
          leased = claim.run;
        },
        progress: (rows) => renewLease(database.acrossAccounts, held(), LEASE_MS, { rows, bytes: rows * 10 }),
        succeed: () => end('SUCCEED'),
        fail: () => end('FAIL'),
      };
    },
  };
}
