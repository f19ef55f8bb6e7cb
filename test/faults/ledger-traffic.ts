import { setTimeout as delay } from 'node:timers/promises';
import { jobSettings, type Result, type Settings } from '../support/job-steps.ts';
import type { TestServer } from '../support/server.ts';
import type { Chance } from './chance.ts';

// Random corrections of streams, and what operators do with the jobs that export them.

/** Servers that may end and restart at any time. */
export interface Api {
  readonly answering: readonly Pick<TestServer, 'graphql'>[];
}

/** A job with streams and a folder of its own. */
export interface CorrectedJob {
  readonly jobId: string;
  readonly accountKey: string;
  readonly bucket: string;
  readonly folder: string;
}

export interface Traffic {
  readonly api: Api;
  readonly chance: Chance;
  /** Makes slots of the job due that lie up to this many hours back. */
  readonly makeDue: (jobId: string, hours: number) => Promise<void>;
  /** Called for each result, by the name of the field. */
  readonly onResult: (field: string, result: Result) => void;
}

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const GIVE_UP_MS = 120_000;
/** How long a late correction waits for the runs before it. */
const LATE_MS = 90_000;

/** Codes of requests that may succeed when they are repeated: their server or its database connection ended. */
const RETRYABLE = /UNAVAILABLE|STREAM_BUSY|ACCOUNT_BUSY|TIMEOUT|OVERLOADED/;

/** Sends a request to one server after the other until one responds. It may be executed twice. */
export async function askUntilAnswered<Data extends object>(
  { api, chance }: Pick<Traffic, 'api' | 'chance'>,
  key: string,
  document: string,
  variables: Settings,
): Promise<Data> {
  const giveUpAt = performance.now() + GIVE_UP_MS;
  for (;;) {
    const { answering } = api;
    try {
      if (answering.length > 0) return await chance.pick(answering).graphql<Data>(document, variables, key);
    } catch (error) {
      const isLost = error instanceof TypeError || error instanceof SyntaxError || RETRYABLE.test(String(error));
      if (!isLost || performance.now() > giveUpAt) throw error;
    }
    await delay(chance.between(20, 200));
  }
}

const RECEIPT = '... on AllocationReceipt { operation { id } }';

function mutation(field: string, argument: string, type: string, selection = ''): string {
  return `mutation ($value: ${type}!) { ${field}(${argument}: $value) { __typename ${selection} ... on UserError { code message } } }`;
}

const DOCUMENTS = {
  createJob: mutation(
    'createJob',
    'input',
    'CreateJobInput',
    '... on Job { id } ... on ValidationError { issues { message } }',
  ),
  updateJob: mutation('updateJob', 'input', 'UpdateJobInput'),
  runJob: mutation('runJob', 'input', 'RunJobInput'),
  redeliver: mutation('redeliver', 'deliveryId', 'ID'),
  cancelRun: mutation('cancelRun', 'id', 'ID'),
  allocationSum: mutation('allocationSum', 'input', 'AllocationInput', RECEIPT),
  allocationReplace: mutation('allocationReplace', 'input', 'AllocationInput', RECEIPT),
  allocationDelete: mutation('allocationDelete', 'input', 'AllocationDeleteInput', RECEIPT),
  revertOperation: mutation('revertOperation', 'input', 'RevertOperationInput', RECEIPT),
  deleteStream: mutation('deleteStream', 'name', 'String'),
};

const UNENDED = `query ($jobId: ID!) { deliveries(jobId: $jobId, first: 20) { edges { node { id } } }
  runs(jobId: $jobId, first: 20, status: [QUEUED, RUNNING]) { edges { node { id status } } } }`;

interface Listed {
  readonly deliveries: { readonly edges: readonly { readonly node: { readonly id: string } }[] };
  readonly runs: { readonly edges: readonly { readonly node: { readonly id: string; readonly status: string } }[] };
}

interface FoundJobs {
  readonly jobs: { readonly edges: readonly { readonly node: { readonly id: string; readonly jobName: string } }[] };
}

/** Streams and windows of jobs. `back`: the hours in which corrections lie. `period`: hours between two slots. */
const SHAPES = [
  { granularity: 'HOURLY', aggregationBucket: 'DAY', range: 'ago(1d)', cron: '0 1 * * *', back: 120, period: 24 },
  { granularity: 'HOURLY', aggregationBucket: 'DAY', range: 'ago(3d)', cron: '30 0 * * *', back: 120, period: 24 },
  { granularity: 'DAILY', aggregationBucket: 'DAY', range: 'ago(1d)', cron: '0 2 * * *', back: 144, period: 24 },
  { granularity: 'DAILY', aggregationBucket: 'DAY', range: 'ago(7d)', cron: '0 3 * * *', back: 240, period: 24 },
  { granularity: 'HOURLY', aggregationBucket: 'HOUR', range: 'ago(3h)', cron: '20 * * * *', back: 8, period: 1 },
] as const;
const ZONES = ['UTC', 'UTC', 'America/New_York', 'Pacific/Kiritimati', 'Europe/Berlin'];
const ELEMENTS = ['acme', 'hooli', 'initech', 'umbrella'];
const ENVIRONMENTS = ['prod', 'dev'];
const GROUPINGS = [['element'], ['env', 'element'], ['env'], []];

/** Edits that change the output of a job, and the settings that undo them. */
function outputEdits(settings: Settings, streams: readonly string[]): (readonly [Settings, Settings])[] {
  const { groupBy, filter = null, compression, meterApiNames, aggregationBucket, timeZone } = settings;
  return [
    // They change which buckets and dates of the same window are whole.
    [{ aggregationBucket: 'HOUR' }, { aggregationBucket }],
    [{ timeZone: timeZone === 'UTC' ? 'Pacific/Kiritimati' : 'UTC' }, { timeZone }],
    [{ groupBy: groupBy === GROUPINGS[0] ? ['env'] : ['element'] }, { groupBy }],
    [{ filter: filter === null ? [{ dimension: 'env', values: ['dev'] }] : null }, { filter }],
    [{ compression: 'GZIP' }, { compression }],
    [{ meterApiNames: [streams[1]] }, { meterApiNames }],
  ];
}

/** Creates a job, then corrects its streams while its runs are started, canceled and repeated. Resolves when the last step was made. */
export async function correctJob(
  traffic: Traffic,
  place: Omit<CorrectedJob, 'jobId'>,
  name: string,
  steps: { readonly writes: number; readonly commands: number },
): Promise<CorrectedJob> {
  const { chance, onResult } = traffic;
  const shape = chance.pick(SHAPES);
  const streams = [`${name}-a`, `${name}-b`];
  const operations: string[] = [];

  async function ask(field: keyof typeof DOCUMENTS, value: unknown): Promise<Result> {
    const data = await askUntilAnswered<Record<string, Result>>(traffic, place.accountKey, DOCUMENTS[field], { value });
    const result = data[field] ?? { __typename: 'null' };
    onResult(field, result);
    return result;
  }
  function randomTime(): string {
    const at = Date.now() - chance.between(0, shape.back) * HOUR;
    return new Date(at - (at % (shape.granularity === 'DAILY' ? DAY : HOUR))).toISOString();
  }
  function randomRecord(): Settings {
    return {
      timestamp: randomTime(),
      granularity: shape.granularity,
      filter: [{ dimension: 'env', values: [chance.pick(ENVIRONMENTS)] }],
      elementName: chance.pick(ELEMENTS),
    };
  }
  function withValue(record: Settings): Settings {
    return { ...record, value: String(chance.between(1, 50)) };
  }
  async function write(field: keyof typeof DOCUMENTS, input: Settings): Promise<void> {
    const idempotencyKey = `${name} ${chance.between(0, 2 ** 30)}`;
    const { operation } = await ask(field, {
      stream: chance.between(1, 4) > 1 ? streams[0] : streams[1],
      ...input,
      idempotencyKey,
    });
    if (operation) operations.push((operation as { id: string }).id);
  }
  function randomRecords(most: number): Settings[] {
    return Array.from({ length: chance.between(1, most) }, () => withValue(randomRecord()));
  }

  async function writeOnce(): Promise<void> {
    const what = chance.between(1, 16);
    if (what <= 6) await write('allocationSum', { records: randomRecords(6) });
    else if (what <= 9) await write('allocationReplace', { records: randomRecords(2) });
    else if (what <= 11) {
      const from = Date.parse(randomTime());
      const to = from + chance.between(1, 3) * (shape.granularity === 'DAILY' ? DAY : HOUR);
      const isEmpty = chance.between(1, 3) === 1;
      const elementName = chance.between(1, 2) === 1 ? chance.pick(ELEMENTS) : null;
      const record = { ...withValue(randomRecord()), timestamp: new Date(from).toISOString() };
      const scope = { from: new Date(from).toISOString(), to: new Date(to).toISOString(), elementName };
      await write('allocationReplace', {
        scope,
        records: isEmpty ? [] : [elementName === null ? record : { ...record, elementName }],
      });
    } else if (what <= 13) {
      const { elementName, filter, ...bucket } = randomRecord();
      await write('allocationDelete', {
        records: [
          {
            ...bucket,
            ...(chance.between(1, 2) === 1 && { elementName }),
            ...(chance.between(1, 2) === 1 && { filter }),
          },
        ],
      });
    } else if (what <= 15) {
      if (operations.length > 0) {
        const operationId = chance.between(1, 2) === 1 ? operations.at(-1) : chance.pick(operations);
        const { operation } = await ask('revertOperation', { operationId });
        if (operation) operations.push((operation as { id: string }).id);
      }
    } else {
      await ask('deleteStream', streams[0]);
      if (chance.between(1, 3) > 1) await write('allocationSum', { stream: streams[0], records: randomRecords(4) });
    }
  }

  /** If the response to createJob was lost, the repeated request is a conflict with the job. */
  async function findJob(conflict: Result): Promise<string> {
    const query = 'query ($search: String!) { jobs(search: $search) { edges { node { id jobName } } } }';
    const { jobs } = await askUntilAnswered<FoundJobs>(traffic, place.accountKey, query, { search: name });
    const found = jobs.edges.find(({ node }) => node.jobName === name);
    if (!found) throw new Error(JSON.stringify(conflict));
    return found.node.id;
  }

  const settings: Settings = jobSettings({
    jobName: name,
    s3Url: `${place.bucket}/${place.folder}`,
    format: 'NDJSON',
    compression: 'NONE',
    aggregationBucket: shape.aggregationBucket,
    range: shape.range,
    cron: shape.cron,
    timeZone: shape.granularity === 'DAILY' || shape.period === 24 ? chance.pick(ZONES) : 'UTC',
    meterApiNames: chance.between(1, 3) === 1 ? streams : [streams[0]],
    groupBy: chance.pick(GROUPINGS),
    filter: chance.between(1, 3) === 1 ? [{ dimension: 'env', values: ['prod'] }] : null,
    sparse: chance.between(1, 4) > 1,
    minimizeFresh: chance.between(1, 3) > 1,
    enabled: true,
    restateAfter: 'ago(1m)',
  });
  await write('allocationSum', {
    stream: streams[0],
    records: Array.from({ length: 8 }, () => withValue(randomRecord())),
  });
  const created = await ask('createJob', settings);
  const jobId = created['id'] === undefined ? await findJob(created) : (created['id'] as string);
  let undo: Settings | undefined;

  async function commandOnce(): Promise<void> {
    const what = chance.between(1, 14);
    if (what <= 4) await traffic.makeDue(jobId, chance.between(1, 4) * shape.period);
    else if (what <= 6) {
      const scheduledFor = new Date(Date.now() - chance.between(0, 4 * shape.period * 60) * 60_000).toISOString();
      await ask('runJob', { jobId, scheduledFor });
    } else if (what <= 10) {
      const { deliveries, runs } = await askUntilAnswered<Listed>(traffic, place.accountKey, UNENDED, { jobId });
      const delivery = deliveries.edges.length > 0 && chance.pick(deliveries.edges);
      const run = runs.edges.find(({ node }) => node.status === 'RUNNING') ?? runs.edges[0];
      if (what <= 8 && delivery) await ask('redeliver', delivery.node.id);
      else if (run) await ask('cancelRun', run.node.id);
    } else if (what <= 12) {
      if (undo === undefined) {
        const [edit, back] = chance.pick(outputEdits(settings, streams));
        undo = back;
        await ask('updateJob', { id: jobId, ...edit });
      } else {
        await ask('updateJob', { id: jobId, ...undo });
        undo = undefined;
      }
    } else {
      await ask('updateJob', { id: jobId, enabled: false });
      await delay(chance.between(0, 1500));
      await ask('updateJob', { id: jobId, enabled: true });
    }
  }
  async function repeat(count: number, step: () => Promise<void>): Promise<void> {
    for (let done = 0; done < count; done += 1) {
      await step();
      await delay(chance.between(1, 3) === 1 ? chance.between(300, 1500) : chance.between(0, 60));
    }
  }

  /** Corrects the streams when no run is left that would deliver the correction: a restatement has to. */
  async function correctLate(): Promise<void> {
    const giveUpAt = performance.now() + LATE_MS;
    for (;;) {
      const { runs } = await askUntilAnswered<Listed>(traffic, place.accountKey, UNENDED, { jobId });
      if (runs.edges.length === 0 || performance.now() > giveUpAt) break;
      await delay(chance.between(200, 600));
    }
    await writeOnce();
  }

  await traffic.makeDue(jobId, chance.between(1, 3) * shape.period);
  await Promise.all([repeat(steps.writes, writeOnce), repeat(steps.commands, commandOnce)]);
  if (undo !== undefined && chance.between(1, 3) > 1) await ask('updateJob', { id: jobId, ...undo });
  if (chance.between(1, 3) === 1) await correctLate();
  return { ...place, jobId };
}
