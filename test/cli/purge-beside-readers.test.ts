import { afterAll, beforeAll, expect, test } from 'vitest';
import { purgeCommand } from '../../src/cli/commands/purge.ts';
import { loadConfig } from '../../src/config/config.ts';
import { readUsage } from '../usage/questions.ts';
import { deleteStream, type RecordInput, verdict, write } from '../streams/writes.ts';
import { createJob, endedRun, innerId, querySql, readExport, runJob } from '../support/job-steps.ts';
import { selectWaiting } from '../support/lock-waits.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';
import { runSluice } from '../support/sluice-process.ts';

// A purge removes nothing that a reader of the ledger as of an earlier time needs.

/** The minimum age of a purge in milliseconds is the sum of both settings. */
const SETTINGS = { REQUEST_TIMEOUT_MS: '8000', INTAKE_MAX_SECONDS: '1' };
const MINIMUM_MS = 9000;

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ env: SETTINGS });
});
afterAll(() => server.stop());

const DAY = '2026-01-25T00:00:00Z';
const SLOT = '2026-01-28T02:00:00Z';
const ELEMENTS = 20;
const recordsOf = (value: string): RecordInput[] =>
  Array.from({ length: ELEMENTS }, (_, index) => ({
    timestamp: DAY,
    granularity: 'DAILY',
    elementName: `e${index}`,
    filter: [{ dimension: 'region', values: ['eu'] }],
    value,
  }));

const replace = async (stream: string, value: string): Promise<void> =>
  expect(verdict(await write(server, 'Replace', { stream, records: recordsOf(value) }))).toBe('taken');

/** Returns the standard output of the command. */
const purge = async ({ olderThanMs = MINIMUM_MS, onSaid = (_text: string): void => undefined } = {}) => {
  let answered = '';
  await purgeCommand(
    {
      terminal: { print: (text) => void (answered += text), message: onSaid },
      log: { debug: () => undefined, warn: () => undefined, error: () => undefined },
      loadConfig: () => loadConfig({ ...SETTINGS, DATABASE_URL: server.database.url }),
    },
    { hidden: true, dryRun: false, olderThanMs },
  );
  return answered;
};

/** As if the writes to the stream, and its deletion, had happened an hour earlier. */
const letAnHourPass = async (stream: string): Promise<void> => {
  await querySql(
    server,
    `UPDATE operations o SET received_at = received_at - interval '1 hour', ended_at = ended_at - interval '1 hour'
     FROM streams s WHERE s.id = o.stream_id AND s.name = $1`,
    [stream],
  );
  await querySql(server, `UPDATE streams SET deleted_at = deleted_at - interval '1 hour' WHERE name = $1`, [stream]);
};

/**
 * A run that has taken its watermark in a transaction that does not commit: its claim waits for the lock of its window until
 * `release` is called.
 */
const startHeldClaim = async (stream: string) => {
  const settings = {
    jobName: `held claim of ${stream}`,
    meterApiNames: [stream],
    groupBy: ['element'],
    range: 'ago(10d)',
  };
  const jobId = await createJob(server, settings);
  // The first run shows where the others write.
  const first = await endedRun(server, await runJob(server, jobId, SLOT));
  expect(first.status).toBe('SUCCEEDED');
  const [place] = await querySql<{ name: string }>(
    server,
    `SELECT bucket || '/' || manifest_key AS name FROM runs WHERE id = $1`,
    [innerId(first.id)],
  );
  // A run that computes what changed since a delivery keeps the records already while it is QUEUED.
  await querySql(server, 'UPDATE deliveries SET watermark = NULL WHERE job_id = $1', [innerId(jobId)]);
  const holder = await server.resources.database.pool.connect();
  await holder.query('BEGIN');
  await holder.query('SELECT pg_advisory_xact_lock(hashtextextended($1::text, 0))', [place?.name]);
  const runId = await runJob(server, jobId, SLOT);
  await eventually(
    () => querySql(server, selectWaiting("locktype = 'advisory'")),
    (waiting) => waiting.length > 0,
  );
  const release = async (): Promise<void> => {
    await holder.query('ROLLBACK').catch(() => undefined);
    holder.release(true);
  };
  return { runId, release };
};

const exportedRows = async (runId: string): Promise<number> => {
  const run = await endedRun(server, runId);
  expect(run.status).toBe('SUCCEEDED');
  return readExport(server, run).text.trim().split('\n').length - 1;
};

test('purge > rejects an age below the minimum, and prints the minimum', async () => {
  const refused = await runSluice('cli', ['purge', '--yes', '--hidden', '--older-than', '0d'], {
    ...SETTINGS,
    DATABASE_URL: server.database.url,
  });
  expect(refused.code).toBe(2);
  expect(refused.stderr).toContain('--older-than must be at least 9s');
  const trial = await runSluice('cli', ['purge', '--dry-run', '--older-than', '0d'], {
    ...SETTINGS,
    DATABASE_URL: server.database.url,
  });
  expect(trial).toMatchObject({ code: 0, stderr: '' });
  await expect(purge({ olderThanMs: MINIMUM_MS - 1 })).rejects.toThrow('REQUEST_TIMEOUT_MS plus INTAKE_MAX_SECONDS');
});

test.each(['hidden records', 'a deleted stream'])(
  'purge > waits for a run that has taken its watermark but not committed it, and keeps %s for it',
  async (what) => {
    const stream = what.replaceAll(' ', '-');
    await replace(stream, '1');
    const { runId, release } = await startHeldClaim(stream);
    const said: string[] = [];
    let purging: Promise<unknown> | undefined;
    try {
      if (what === 'a deleted stream') await deleteStream(server, stream);
      else await replace(stream, '2');
      await letAnHourPass(stream);
      purging = purge({ onSaid: (text) => said.push(text) });
      await eventually(
        () => Promise.resolve(said),
        (texts) => texts.length > 0,
      );
      expect(said).toEqual(['Waiting for transactions that were open when the records were selected.']);
    } finally {
      await release();
      await purging;
    }
    expect(await exportedRows(runId)).toBe(ELEMENTS);
  },
);

test('purge > does not change exports and usage queries when all run concurrently with replaces', async () => {
  const stream = 'rewritten';
  await replace(stream, '0');
  const jobs = await Promise.all(
    [1, 2].map((number) =>
      createJob(server, {
        jobName: `loop ${number}`,
        meterApiNames: [stream],
        groupBy: ['element'],
        range: 'ago(10d)',
      }),
    ),
  );
  const counts: number[] = [];
  let purged = 0;
  let working = true;
  const replacing = (async () => {
    for (let round = 1; working; round += 1) await replace(stream, String(round));
  })();
  const purging = (async () => {
    while (working) purged += Number(/total: ([\d,]+)/.exec(await purge())?.[1]?.replaceAll(',', '') ?? 0);
  })();
  const enough = (): boolean => counts.length >= 200 && purged > 0;
  const asking = (async () => {
    const window = { from: DAY, to: '2026-01-26T00:00:00Z', aggregationBucket: 'DAY' };
    while (!enough()) {
      const { series } = await readUsage(server, { meterApiNames: [stream], ...window, groupBy: ['element'] });
      counts.push(series.length);
    }
  })();
  const exporting = jobs.map(async (jobId) => {
    while (!enough()) counts.push(await exportedRows(await runJob(server, jobId, SLOT)));
  });
  await Promise.all([asking, ...exporting]).finally(() => {
    working = false;
  });
  await Promise.all([replacing, purging]);
  expect(counts.filter((count) => count !== ELEMENTS)).toEqual([]);
  expect(purged).toBeGreaterThan(0);
}, 300_000);

test('purge > counts the age from the end of a transaction when it was open for long', async () => {
  const stream = 'long';
  await replace(stream, '1');
  await replace(stream, '2');
  // As a write that waited for an hour before it hid anything.
  await querySql(
    server,
    `UPDATE operations o SET received_at = received_at - interval '1 hour' FROM streams s WHERE s.id = o.stream_id AND s.name = $1`,
    [stream],
  );
  expect(await purge({ olderThanMs: 60_000 })).toMatch(/^nothing to remove/);
  await letAnHourPass(stream);
  expect(await purge({ olderThanMs: 60_000 })).toContain(`removed ${ELEMENTS} hidden records`);
});
