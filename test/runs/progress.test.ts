import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { brokenPromises } from '../support/bucket-check.ts';
import { addRecords, createJob, multiplyRecords, readRun, runJob, type RunView } from '../support/job-steps.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

let server: TestServer;
beforeAll(async () => {
  // The default heartbeat, which stores the progress.
  server = await startTestServer({ env: { RUN_HEARTBEAT_MS: '', EXPORT_PART_BYTES: '2048' } });
  await addRecords(server, 's', 'DAILY', [{ timestamp: '2026-01-25T00:00:00Z', elementName: 'customer', value: '1' }]);
  await multiplyRecords(server, 's', 999);
});
afterAll(() => server.stop());

test.each(['NONE', 'GZIP'])(
  'progress of a run > advances at least once per second with a slow store, and ends with the totals (compression %s)',
  async (compression) => {
    server.s3.setFault(() => ({ hold: delay(80) }));
    const jobId = await createJob(server, { groupBy: ['element'], compression });
    const id = await runJob(server, jobId, '2026-01-28T02:00:00Z');
    const seen: { at: number; rows: number; bytes: number }[] = [];
    let run: RunView;
    let slowestAsk = 0;
    do {
      const asked = performance.now();
      run = await readRun(server, id);
      slowestAsk = Math.max(slowestAsk, performance.now() - asked);
      const last = seen.at(-1);
      const { rowsWritten: rows, bytesWritten: bytes } = run;
      if (run.status === 'RUNNING' && (rows !== last?.rows || bytes !== last.bytes))
        seen.push({ at: performance.now(), rows, bytes });
      await delay(20);
    } while (run.status === 'QUEUED' || run.status === 'RUNNING');
    const ended = performance.now();
    expect(run).toMatchObject({ status: 'SUCCEEDED', attempt: 1, rowsWritten: 1000 });
    expect(run.bytesWritten).toBe(run.objects.reduce((sum, object) => sum + object.bytes, 0));

    // More than 30 parts of 80 ms each.
    expect(run.objects.length).toBeGreaterThan(30);
    expect(seen.length).toBeGreaterThan(4);
    // 1 s, and the time that this machine needs for the store, for a heartbeat and for the query of this test. A busy machine can
    // delay single heartbeats.
    const usual = 1200 + 3 * slowestAsk;
    const longest = 2500 + 5 * slowestAsk;
    const [first, ...later] = seen;
    expect([first?.rows, first?.bytes]).toEqual([0, 0]);
    let before = first;
    const intervals: number[] = [];
    for (const step of later) {
      expect(step.rows).toBeGreaterThanOrEqual(before?.rows ?? 0);
      expect(step.bytes).toBeGreaterThanOrEqual(before?.bytes ?? 0);
      intervals.push(step.at - (before?.at ?? 0));
      before = step;
    }
    intervals.push(ended - (before?.at ?? 0));
    const sorted = intervals.toSorted((a, b) => a - b);
    expect(sorted[Math.floor(sorted.length / 2)]).toBeLessThan(usual);
    expect(sorted.at(-1)).toBeLessThan(longest);
    expect(before?.rows).toBeLessThanOrEqual(1000);
    expect(before?.bytes).toBeLessThanOrEqual(run.bytesWritten);
    expect(brokenPromises(server.s3.puts)).toEqual([]);
  },
);
