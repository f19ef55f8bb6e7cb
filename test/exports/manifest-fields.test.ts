import { afterAll, beforeAll, expect, test } from 'vitest';
import { addRecords, exportOnce } from '../support/job-steps.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
  await addRecords(server, 'values', 'DAILY', [{ timestamp: '2026-01-25T00:00:00Z', elementName: 'acme', value: '1' }]);
});
afterAll(() => server.stop());

const SLOT = '2026-01-28T02:00:00Z';

test('manifest > contains run, job, settings, window, watermark and objects, but not the email address', async () => {
  const described = { email: 'someone@example.com', description: 'For Ada' };
  const settings = { meterApiNames: ['values'], format: 'NDJSON', ...described };
  const whereAndHow = { region: null, encryption: null, kmsKeyId: null, csvDialect: 'STANDARD', csvDelimiter: 'COMMA' };
  const absent = { cron: null, scheduledTimeInSeconds: null, endTimeOffset: null, completeWithin: null, groupBy: null };
  const restated = { restatement: 'AUTOMATIC', restateAfter: 'ago(1h)', restateWithin: 'ago(35d)' };
  const { run, manifest, jobId, bodies } = await exportOnce(server, settings, SLOT);
  expect(manifest).toEqual({
    version: 1,
    state: 'complete',
    runId: expect.any(String),
    jobId: expect.any(String),
    jobName: run.jobName,
    settings: {
      description: 'For Ada',
      enabled: false,
      s3Url: 's3://exports/here',
      format: 'NDJSON',
      compression: 'NONE',
      ...whereAndHow,
      ...restated,
      ...absent,
      aggregationBucket: 'DAY',
      range: 'ago(7d)',
      bucketOwner: null,
      meterApiNames: ['values'],
      filter: null,
      sparse: true,
      minimizeFresh: true,
      rescaleFunction: null,
    },
    scheduledFor: SLOT,
    window: { start: '2026-01-21T00:00:00Z', end: '2026-01-28T00:00:00Z' },
    timeZone: 'UTC',
    watermark: { snapshot: expect.stringMatching(/^\d+:\d+:[\d,]*$/), at: expect.any(String) },
    revision: 1,
    supersedes: null,
    reason: { trigger: 'MANUAL', operationCount: 0, operations: [] },
    changes: null,
    completeness: { complete: false, meters: [{ meterApiName: 'values', completeThrough: null, complete: null }] },
    objects: run.objects,
    totals: { objects: 1, rows: 1, bytes: bodies[0]?.length },
    warnings: [],
  });
  expect([manifest.runId, manifest.jobId]).toEqual([run.id, jobId]);
});
