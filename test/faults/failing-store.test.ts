import { afterAll, beforeAll, expect, test } from 'vitest';
import { brokenPromises } from '../support/bucket-check.ts';
import { createFaults, type Faults } from '../support/faults.ts';
import { createJob, endedRun, innerId, querySql, runJob, type RunView } from '../support/job-steps.ts';
import type { Settings } from '../support/sluice-process.ts';
import type { Fault } from '../support/strict-s3.ts';
import { createJobs, isManifest, isPart, runAll } from './caught-exports.ts';
import { createChance, inForm } from './chance.ts';
import { type Deployment, type ServerProcess, startDeployment } from './deployment.ts';
import {
  addToAll,
  type Difference,
  differenceOf,
  PART_BYTES,
  rowsOf,
  settingsOf,
  SLOT,
  sumOf,
} from './parted-exports.ts';
import { counted, tally } from './tally.ts';

const ELEMENTS = 120;
const SHIFTED_CLOCK = new URL('shifted-clock.ts', import.meta.url).href;
const TWENTY_MINUTES_MS = 20 * 60_000;
/** Time limit of a put to a store that never responds. */
const LEASE_SECONDS = inForm({ short: 5, full: 10 });
/** Number of consecutive retryable failures. After the third failure the pause is 15 s, then 1 minute. */
const MOST_FAILURES = inForm({ short: 2, full: 3 });

interface Failing {
  readonly name: string;
  readonly fault: Fault;
  readonly code: string;
  /** Message of the failure. */
  readonly says: RegExp;
}

/** Failures that are retried and then succeed. */
const PASSING: readonly Failing[] = [
  {
    name: 'SlowDown',
    fault: { status: 503, code: 'SlowDown' },
    code: 'S3_BUSY',
    says: /throttled requests to the bucket/,
  },
  { name: '500', fault: { status: 500, code: 'InternalError' }, code: 'S3_ERROR', says: /HTTP 500/ },
  { name: 'a gateway', fault: { status: 502, text: '<html>LEAK</html>' }, code: 'S3_ERROR', says: /HTTP 502/ },
  { name: 'a reset', fault: 'reset', code: 'CONNECTION_LOST', says: /was lost/ },
  { name: 'a reset in the body', fault: 'reset-mid-body', code: 'CONNECTION_LOST', says: /was lost/ },
  { name: 'a reset once it is stored', fault: 'reset-after-store', code: 'CONNECTION_LOST', says: /was lost/ },
  { name: 'no answer', fault: 'hang', code: 'S3_TIMEOUT', says: /within the time limit/ },
  {
    name: 'RequestTimeTooSkewed',
    fault: { status: 403, code: 'RequestTimeTooSkewed' },
    code: 'CLOCK_SKEW',
    says: /clock of this server.*operator must correct it/,
  },
];

const REGION = { 'x-amz-bucket-region': 'eu-west-1' };
const TO_OTHER_REGION =
  /Set the field region of this job to eu-west-1, or ask the operator to set AWS_REGION=eu-west-1\.$/;

/** Permanent failures, until a user or the operator corrects the cause. */
const LASTING: readonly Failing[] = [
  {
    name: 'PermanentRedirect',
    fault: { status: 301, code: 'PermanentRedirect', headers: REGION },
    code: 'WRONG_REGION',
    says: TO_OTHER_REGION,
  },
  {
    name: 'AuthorizationHeaderMalformed',
    fault: { status: 400, code: 'AuthorizationHeaderMalformed', headers: REGION },
    code: 'WRONG_REGION',
    says: TO_OTHER_REGION,
  },
  {
    name: 'AccessDenied',
    fault: { status: 403, code: 'AccessDenied' },
    code: 'ACCESS_DENIED',
    says: /^Sluice is not allowed to write to the bucket exports\. Attach .* The policy to attach: \{.*\}$/,
  },
  {
    name: 'NoSuchBucket',
    fault: { status: 404, code: 'NoSuchBucket' },
    code: 'NO_SUCH_BUCKET',
    says: /^The bucket exports does not exist\. Create it, or correct the s3Url of this job\.$/,
  },
  {
    name: 'AccessControlListNotSupported',
    fault: { status: 400, code: 'AccessControlListNotSupported' },
    code: 'ACL_NOT_SUPPORTED',
    says: /Set its Object Ownership to "Bucket owner enforced" or "Bucket owner preferred"/,
  },
];

let deployment: Deployment;
let api: ServerProcess;
let faults: Faults;
beforeAll(async () => {
  deployment = await startDeployment({
    RUN_LEASE_SECONDS: String(LEASE_SECONDS),
    EXPORT_PART_BYTES: PART_BYTES,
    EXPORT_CONCURRENCY: '24',
    PRINCIPAL_ARN: 'arn:aws:iam::123456789012:role/sluice',
  });
  faults = createFaults(deployment.s3);
  api = await deployment.startServer({ ROLE: 'api' });
  await noteErrors();
});
afterAll(() => deployment.close());

const withWorker = async <Value>(settings: Settings, work: () => Promise<Value>): Promise<Value> => {
  const worker = await deployment.startServer({ ROLE: 'worker', ...settings });
  try {
    return await work();
  } finally {
    await worker.process.destroy();
  }
};

interface NotedError {
  readonly code: string;
  readonly message: string;
  readonly retryable: boolean;
}

/** The database notes the error of every attempt that will be retried, however short its pause is. */
const noteErrors = async (): Promise<void> => {
  await querySql(
    api,
    `CREATE TABLE noted_errors (run_id uuid, attempt int, error jsonb);
     CREATE FUNCTION note_error() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
       INSERT INTO public.noted_errors VALUES (NEW.id, NEW.attempt, NEW.error);
       RETURN NULL; END $$;
     CREATE TRIGGER note_error AFTER UPDATE ON runs FOR EACH ROW
       WHEN (OLD.status = 'RUNNING' AND NEW.status = 'QUEUED') EXECUTE FUNCTION note_error()`,
  );
};

const errorsOf = async (run: RunView): Promise<NotedError[]> => {
  const rows = await querySql<{ error: NotedError }>(
    api,
    'SELECT error FROM noted_errors WHERE run_id = $1 ORDER BY attempt',
    [innerId(run.id)],
  );
  return rows.map(({ error }) => error);
};

/** The request of an export at which the store fails, by the number of parts. */
const placesOf = (parts: number) => [isPart(1), isPart(2), isPart(parts), isManifest];

interface FailingRun extends Failing {
  readonly failures: number;
  readonly folder: string;
  readonly jobId: string;
  readonly runId: string;
}

/** Runs an export for each fault and request concurrently; the first `failures` of these requests fail. */
const runAllFailing = async (
  stream: string,
  folder: string,
  failing: readonly Failing[],
  failures: () => number,
): Promise<FailingRun[]> => {
  const [sample] = await createJobs(api, stream, `${folder}/sample`, 1);
  const [whole] = await runAll(api, sample ? [sample] : []);
  const places = placesOf(whole?.objects.length ?? 0);
  const jobs = await createJobs(api, stream, folder, failing.length * places.length);
  const runs: FailingRun[] = [];
  for (const [index, job] of jobs.entries()) {
    const one = failing[Math.floor(index / places.length)];
    const isAt = places[index % places.length];
    if (!one || !isAt) throw new Error('There are more jobs than faults.');
    const count = failures();
    let met = 0;
    faults.on(job.folder, ({ key }) => (isAt(key) && (met += 1) <= count ? one.fault : undefined));
    runs.push({ ...one, ...job, failures: count, runId: await runJob(api, job.jobId, SLOT) });
  }
  return runs;
};

const LEAKS = /LEAK|AKIA|127\.0\.0\.1/;

const checkLasting = async (
  run: RunView,
  { code, says, folder }: Omit<FailingRun, 'jobId' | 'runId'>,
): Promise<void> => {
  expect(run).toMatchObject({ status: 'FAILED', attempt: 1, manifestKey: null, error: { code, retryable: false } });
  expect(run.error?.message).toMatch(says);
  expect(run.error?.message).not.toMatch(LEAKS);
  expect(deployment.s3.puts.filter(({ key }) => key.startsWith(folder) && isManifest(key))).toEqual([]);
  if (code !== 'ACCESS_DENIED') return;
  const policy = /The policy to attach: (.*)$/.exec(run.error?.message ?? '')?.[1] ?? '';
  const { bucketPolicy } = await api.graphql<{ bucketPolicy: string }>(
    'query ($s3Url: String!) { bucketPolicy(s3Url: $s3Url) }',
    { s3Url: `exports/${folder}` },
  );
  expect(JSON.parse(policy)).toEqual(JSON.parse(bucketPolicy));
};

test('store that fails at any request > causes a retry or a permanent failure with what to change, and every manifest matches its objects', async () => {
  const chance = createChance('failing store');
  const differences: Difference[] = [];
  let [retries, atOnce] = [0, 0];
  await addToAll(api, 'passing', ELEMENTS, 1);
  await addToAll(api, 'lasting', ELEMENTS, 1);
  const byHand = await createJobs(api, 'lasting', 'by-hand', 3);
  const elsewhere = await createJob(api, { ...settingsOf('lasting', 'elsewhere', ''), s3Url: 'no-such-bucket/x' });

  await withWorker({}, async () => {
    const passing = await runAllFailing('passing', 'passing', PASSING, () => chance.between(1, MOST_FAILURES));
    const lasting = await runAllFailing('lasting', 'lasting', LASTING, () => Infinity);
    // Ends after 80 seconds.
    const [hopeless] = inForm({ short: [], full: await createJobs(api, 'passing', 'hopeless', 1) });
    if (hopeless) faults.on(hopeless.folder, () => ({ status: 503, code: 'SlowDown' }));
    const hopelessId = hopeless && (await runJob(api, hopeless.jobId, SLOT));

    for (const { runId, ...expected } of lasting) {
      await checkLasting(await endedRun(api, runId, 60_000), expected);
      atOnce += 1;
    }
    const missing = await endedRun(api, await runJob(api, elsewhere, SLOT));
    expect(missing).toMatchObject({ status: 'FAILED', attempt: 1, error: { code: 'NO_SUCH_BUCKET' } });
    expect(missing.error?.message).toMatch(/^The bucket no-such-bucket does not exist\. Create it/);
    atOnce += 1;
    // The cause is corrected as the message says, and the figures have changed by then.
    await addToAll(api, 'lasting', ELEMENTS, 1);
    for (const { folder } of lasting) faults.clear(folder);
    for (const run of await runAll(api, lasting))
      differences.push(differenceOf(api, run, rowsOf('lasting', ELEMENTS, 2)));

    for (const { name, runId, failures, code, says } of passing) {
      const run = await endedRun(api, runId, 120_000);
      const errors = await errorsOf(run);
      expect({ name, attempt: run.attempt, codes: errors.map((error) => error.code) }).toEqual({
        name,
        attempt: failures + 1,
        codes: Array.from({ length: failures }, () => code),
      });
      for (const { message, retryable } of errors) {
        expect(retryable).toBe(true);
        expect(message).toMatch(says);
        expect(message).not.toMatch(LEAKS);
      }
      retries += failures;
      differences.push(differenceOf(api, run, rowsOf('passing', ELEMENTS, 1)));
    }
    if (hopelessId && hopeless) {
      const run = await endedRun(api, hopelessId, 180_000);
      expect(run).toMatchObject({ status: 'FAILED', attempt: 5, error: { code: 'S3_BUSY', retryable: true } });
      expect(deployment.s3.puts.filter(({ key }) => key.startsWith(hopeless.folder))).toEqual([]);
      retries += 4;
    }
  });

  const [abroad, fast, slow] = byHand;
  if (!abroad || !fast || !slow) throw new Error('There are three jobs.');
  await withWorker({ AWS_REGION: 'eu-central-1' }, async () => {
    const run = await endedRun(api, await runJob(api, abroad.jobId, SLOT));
    const says =
      /not in the region eu-central-1\. Set the field region of this job to the region of the bucket, or ask/;
    await checkLasting(run, {
      ...abroad,
      name: 'a wrong region',
      fault: 'hang',
      failures: 1,
      code: 'WRONG_REGION',
      says,
    });
    atOnce += 1;
  });
  for (const [{ jobId }, shift] of [
    [fast, TWENTY_MINUTES_MS],
    [slow, -TWENTY_MINUTES_MS],
  ] as const) {
    const wrongClock = { NODE_OPTIONS: `--import ${SHIFTED_CLOCK}`, CLOCK_AHEAD_MS: String(shift) };
    await withWorker(wrongClock, async () => {
      const run = await endedRun(api, await runJob(api, jobId, SLOT));
      expect(run.attempt).toBe(2);
      expect(await errorsOf(run)).toMatchObject([{ code: 'CLOCK_SKEW', retryable: true }]);
      retries += 1;
      differences.push(differenceOf(api, run, rowsOf('lasting', ELEMENTS, 2)));
      // By the clock of the store from then on.
      const next = await endedRun(api, await runJob(api, jobId, SLOT));
      expect(next.attempt).toBe(1);
      differences.push(differenceOf(api, next, rowsOf('lasting', ELEMENTS, 2)));
      if (shift < 0) return;
      const mended = await endedRun(api, await runJob(api, abroad.jobId, SLOT));
      differences.push(differenceOf(api, mended, rowsOf('lasting', ELEMENTS, 2)));
    });
  }

  expect(brokenPromises(deployment.s3.puts)).toEqual([]);
  await tally({
    scenario: 5,
    done:
      `${PASSING.length + LASTING.length} faults of the object store, each at four requests of an export; a server in a wrong region, and two whose ` +
      `clock is 20 minutes off: ${counted(retries, 'attempts')} retried, ${counted(atOnce, 'runs')} failed immediately with a message that says what to change`,
    tried: `${counted(differences.length, 'exports')} after the faults`,
    ...sumOf(differences),
  });
}, 600_000);
