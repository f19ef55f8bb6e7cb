import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type CollectedSpan, type Collector, startCollector } from '../support/collector.ts';
import { createFaults } from '../support/faults.ts';
import {
  addRecords,
  createJob,
  endedRun,
  endedRunsOf,
  innerId,
  readRun,
  runJob,
  type RunView,
} from '../support/job-steps.ts';
import { createLogLines } from '../support/log-lines.ts';
import { startTestServer } from '../support/server.ts';
import { startWorkerProcess, type WorkerProcess } from '../support/worker-process.ts';

const RECORDS = 60;

let collector: Collector;
let scheduled: RunView;
let failed: RunView;
const logged = createLogLines();
beforeAll(async () => {
  collector = await startCollector();
  // With parts of 1 KiB the export has several.
  const server = await startTestServer({
    env: { OTEL_EXPORTER_OTLP_ENDPOINT: `${collector.url}/`, EXPORT_PART_BYTES: '1024' },
    resources: { log: logged.log },
  });
  try {
    const timestamp = new Date(Date.now() - 86_400_000).toISOString();
    const names = Array.from({ length: RECORDS }, (_, index) => `customer ${index}`);
    await addRecords(
      server,
      'calls',
      'DAILY',
      names.map((elementName) => ({ timestamp, elementName, value: '1' })),
    );
    const settings = { meterApiNames: ['calls'], groupBy: ['element'], range: 'ago(3d)' };
    const due = await createJob(server, {
      ...settings,
      jobName: 'due',
      scheduledTimeInSeconds: Math.floor(Date.now() / 1000) + 10,
      enabled: true,
      s3Url: 'exports/due',
    });
    [scheduled] = (await endedRunsOf(server, due, 1)) as [RunView];
    const failing = await createJob(server, { ...settings, jobName: 'failing', s3Url: 'no-such-bucket/a' });
    failed = await endedRun(server, await runJob(server, failing));
  } finally {
    // Spans that are still buffered are sent when the server stops.
    await server.stop();
  }
});
afterAll(() => collector.close());

const traceIdOf = (run: RunView): string => innerId(run.id).replaceAll('-', '');
const traceOf = (run: RunView): CollectedSpan[] => collector.spans.filter(({ traceId }) => traceId === traceIdOf(run));

/** Returns the names of the spans as a tree, in the order of their start. */
const treeOf = (spans: readonly CollectedSpan[], parent = ''): unknown[] =>
  spans
    .filter(({ parentSpanId = '' }) => parentSpanId === parent)
    .toSorted((a, b) => Number(BigInt(a.startTimeUnixNano) - BigInt(b.startTimeUnixNano)) || (a.name < b.name ? -1 : 1))
    .map((span) => {
      const below = treeOf(spans, span.spanId);
      return below.length === 0 ? span.name : [span.name, below];
    });

describe('trace of a run', () => {
  test('has nested spans from the slot to the last PutObject', () => {
    expect(scheduled).toMatchObject({ status: 'SUCCEEDED', trigger: 'ONE_OFF', rowsWritten: RECORDS });
    expect(scheduled.objects.length).toBeGreaterThan(2);
    const [[, parts]] = treeOf(traceOf(scheduled)) as [[string, unknown[]]];
    expect(treeOf(traceOf(scheduled))).toEqual([['run', expect.any(Array)]]);
    expect(parts).toEqual(['queue slot', ['attempt', ['claim', ['export', expect.any(Array)], 'end']]]);
    const [, [, [, [, steps]]]] = parts as [string, [string, [string, [string, string[]]]]];
    // Timestamps are whole milliseconds, so the order of two spans can be unknown.
    expect(new Set(steps)).toEqual(new Set(['plan', 'wait for memory', 'connect', 'count', 'COPY', 'PutObject']));
    // The manifest needs one more PutObject.
    expect(steps.filter((name) => name === 'PutObject')).toHaveLength(scheduled.objects.length + 1);
  });

  test('has the ids of the run that the API and the log contain', () => {
    for (const name of ['run', 'queue slot', 'attempt']) {
      const span = traceOf(scheduled).find((one) => one.name === name);
      expect(span?.attributes).toMatchObject({ 'sluice.run.id': scheduled.id, 'sluice.job.id': scheduled.job?.id });
    }
    const lines = logged.lines().filter(({ runId }) => runId === scheduled.id);
    expect(new Set(lines.map((line) => line['traceId']))).toEqual(new Set([traceIdOf(scheduled)]));
    expect(traceOf(scheduled)[0]?.resource).toMatchObject({ 'service.name': 'sluice', 'sluice.role': 'all' });
  });

  test('begins when the slot was due, ends with the run, and has each span within its parent', () => {
    const spans = traceOf(scheduled);
    const root = spans.find(({ name }) => name === 'run');
    expect(Number(root?.startTimeUnixNano) / 1e6).toBe(Date.parse(scheduled.scheduledFor));
    expect(Number(root?.endTimeUnixNano) / 1e6).toBeGreaterThanOrEqual(Date.parse(scheduled.finishedAt ?? '') - 1000);
    for (const span of spans) {
      const parent = spans.find(({ spanId }) => spanId === span.parentSpanId);
      expect(Number(span.endTimeUnixNano)).toBeGreaterThanOrEqual(Number(span.startTimeUnixNano));
      if (!parent) continue;
      // The clocks of Node differ by less than 5 ms.
      expect(Number(span.startTimeUnixNano)).toBeGreaterThanOrEqual(Number(parent.startTimeUnixNano) - 5e6);
      expect(Number(span.endTimeUnixNano)).toBeLessThanOrEqual(Number(parent.endTimeUnixNano) + 5e6);
    }
  });

  test('has the keys, rows and bytes of the export', () => {
    const puts = traceOf(scheduled).filter(({ name }) => name === 'PutObject');
    const keys = puts.map(({ attributes }) => attributes['aws.s3.key']);
    expect(new Set(keys)).toEqual(new Set([...scheduled.objects.map(({ key }) => key), scheduled.manifestKey]));
    const root = traceOf(scheduled).find(({ name }) => name === 'run');
    expect(root?.attributes).toMatchObject({
      'sluice.run.status': 'SUCCEEDED',
      'sluice.run.trigger': 'ONE_OFF',
      'sluice.export.rows': RECORDS,
      'sluice.export.bytes': scheduled.bytesWritten,
    });
  });

  test('marks the failed spans when a run fails', () => {
    const spans = traceOf(failed);
    const statusOf = (wanted: string): unknown => spans.find(({ name }) => name === wanted)?.status;
    expect(statusOf('run')).toMatchObject({ code: 2 });
    expect(statusOf('attempt')).toMatchObject({ code: 2, message: failed.error?.code });
    expect(statusOf('PutObject')).toMatchObject({ code: 2 });
    expect(statusOf('plan')).not.toMatchObject({ code: 2 });
  });
});

test('trace of a run > is one when an API server, a first and a second worker process take part', async () => {
  const api = await startTestServer({ env: { ROLE: 'api', OTEL_EXPORTER_OTLP_ENDPOINT: collector.url } });
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, SHUTDOWN_GRACE_SECONDS: '30' };
  const faults = createFaults(api.s3);
  const first = await startWorkerProcess(api, env);
  let second: WorkerProcess | undefined;
  try {
    await addRecords(api, 'calls', 'DAILY', [{ timestamp: '2026-01-25T00:00:00Z', elementName: 'a', value: '1' }]);
    // The first put fails while the worker gets SIGTERM, so the attempt ends with a retry that no worker executes yet.
    faults.on('shared/', () => {
      first.kill('SIGTERM');
      return { status: 503, code: 'SlowDown' };
    });
    const job = await createJob(api, { jobName: 'handed on', meterApiNames: ['calls'], s3Url: 'exports/shared' });
    const id = await runJob(api, job, '2026-01-28T02:00:00Z');
    await first.ended;
    expect(await readRun(api, id)).toMatchObject({ status: 'QUEUED', attempt: 1 });
    faults.clear('shared/');
    second = await startWorkerProcess(api, env);
    const run = await endedRun(api, id);
    expect(run).toMatchObject({ status: 'SUCCEEDED', attempt: 2 });
    second.kill('SIGTERM');
    await second.ended;

    expect(collector.spans.filter(({ attributes }) => attributes['sluice.run.id'] === id)).toEqual(
      traceOf(run).filter(({ attributes }) => attributes['sluice.run.id'] === id),
    );
    const steps = ['claim', ['export', expect.any(Array)], 'end'];
    expect(treeOf(traceOf(run))).toEqual([
      [
        'run',
        [
          ['attempt', steps],
          ['attempt', steps],
        ],
      ],
    ]);
    const attempts = traceOf(run)
      .filter(({ name }) => name === 'attempt')
      .toSorted((a, b) => Number(a.attributes['sluice.run.attempt']) - Number(b.attributes['sluice.run.attempt']));
    expect(attempts.map(({ attributes }) => Number(attributes['sluice.run.attempt']))).toEqual([1, 2]);
    expect(attempts.map(({ status }) => status.code === 2)).toEqual([true, false]);
    expect(new Set(attempts.map(({ resource }) => resource['service.instance.id'])).size).toBe(2);
    const root = traceOf(run).find(({ name }) => name === 'run');
    expect(root?.resource['service.instance.id']).toBe(attempts[1]?.resource['service.instance.id']);
  } finally {
    await first.end();
    await second?.end();
    await api.stop();
  }
});

test('tracer > records nothing when no collector is set', async () => {
  const server = await startTestServer();
  try {
    expect(server.resources.tracer.startSpan('any').isRecording()).toBe(false);
  } finally {
    await server.stop();
  }
});

test('unreachable collector > fails no run and does not delay the shutdown', async () => {
  const server = await startTestServer({ env: { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://127.0.0.1:9/traces' } });
  let isStopped = false;
  try {
    await addRecords(server, 'calls', 'DAILY', [{ timestamp: '2026-01-25T00:00:00Z', elementName: 'a', value: '1' }]);
    const job = await createJob(server, { meterApiNames: ['calls'], s3Url: 'exports/away' });
    expect(await endedRun(server, await runJob(server, job, '2026-01-28T02:00:00Z'))).toMatchObject({
      status: 'SUCCEEDED',
    });
    const begun = performance.now();
    isStopped = true;
    await server.stop();
    expect(performance.now() - begun).toBeLessThan(15_000);
  } finally {
    if (!isStopped) await server.stop();
  }
});
