import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { takeWatermark } from '../../src/db/as-of.ts';
import { claimRun } from '../../src/runs/claim.ts';
import { leaseCursors, moveCursor } from '../../src/deliveries/ledger-cursors.ts';
import { addRecords, createJob, innerId, querySql, runJob } from '../support/job-steps.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

let server: TestServer;
beforeAll(async () => {
  // Only this test scans the ledger and claims runs.
  server = await startTestServer({ env: { ROLE: 'api' } });
});
afterAll(() => server.stop());

describe('cursor of a ledger', () => {
  test('is not moved by a scan that did not see a delivery whose watermark is older than the scan', async () => {
    const db = server.resources.database.acrossAccounts;
    await addRecords(server, 'usage', 'HOURLY', [
      { timestamp: '2026-01-20T05:00:00Z', elementName: 'acme', value: '1' },
    ]);
    const jobId = await createJob(server, { jobName: 'of an older server', s3Url: 'exports/cursors' });
    await runJob(server, jobId, '2026-01-28T02:00:00Z');
    // A server of a version without deliveries has queued the run and tried it once; the claim adds the delivery.
    await querySql(server, 'DELETE FROM deliveries WHERE job_id = $1', [innerId(jobId)]);
    const [account] = await querySql<{ id: string }>(server, 'SELECT account_id AS id FROM runs');
    const tried = await takeWatermark(db, BigInt(account?.id ?? ''));
    await querySql(server, 'UPDATE runs SET watermark = $1, watermark_epoch = $2, watermark_at = now(), attempt = 1', [
      tried.snapshot,
      tried.epoch,
    ]);
    await querySql(server, 'UPDATE ledger_cursors SET scan_at = now()');
    const [leased] = await leaseCursors(db, 1);
    if (!leased) throw new Error('No cursor is due.');
    const scanned = () => querySql<{ scanned: string }>(server, 'SELECT scanned FROM ledger_cursors');
    const before = await scanned();
    const claim = await claimRun(db, innerId(jobId), 30_000);
    expect(claim).toMatchObject({ run: { revision: 1, watermark: tried.snapshot } });
    // The scan of the server that has the lease ends now.
    await moveCursor(db, leased, await takeWatermark(db, leased.accountId), 5);
    const after = await scanned();
    expect(before).toHaveLength(1);
    expect([after.length, xminOf(after[0]?.scanned) <= xminOf(before[0]?.scanned)]).toEqual([1, true]);

    await querySql(server, 'UPDATE ledger_cursors SET scan_at = now()');
    const [again] = await leaseCursors(db, 1);
    if (!again) throw new Error('No cursor is due.');
    const watermark = await takeWatermark(db, again.accountId);
    await moveCursor(db, again, watermark, 5);
    expect(await scanned()).toEqual([{ scanned: watermark.snapshot }]);
  });
});

const xminOf = (snapshot = ''): bigint => BigInt(snapshot.slice(0, snapshot.indexOf(':')));
