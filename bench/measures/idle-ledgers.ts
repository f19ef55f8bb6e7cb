import { setTimeout as sleep } from 'node:timers/promises';
import type { Figure } from '../support/figures.ts';
import { createJob, runJob } from '../support/jobs.ts';
import type { Stage } from '../support/stage.ts';
import { fillStream } from '../support/streams.ts';

// Scans for corrections: of many accounts without new operations, and of one account with many.

const ACCOUNTS = 10_000;
/** Accounts that all servers together must scan per second. */
const SCANS_PER_SECOND = 170;
const OPERATIONS = 1_000_000;
const SHAPE = { days: 30, keys: 300, repeats: 1 };
/** Long after the bounds, so that a slow server is still measured. */
const PATIENCE_MS = 180_000;
const POLL_MS = 20;

export async function measureIdleLedgers(stage: Stage): Promise<Figure[]> {
  const server = await stage.server({ LEDGER_SCAN_IDLE_SECONDS: '3600', LEDGER_SCAN_SECONDS: '1' });
  await fillStream(server.url, 'usage', SHAPE);
  const client = await stage.connect();
  await runJob(server.url, await createJob(server.url, { jobName: 'scanned', meterApiNames: ['usage'] }));
  /** Makes the scan of all accounts due, and returns the seconds until the cursors of all of them have moved. */
  const scanAll = async (): Promise<number> => {
    const { rows } = await client.query<{ now: string }>('SELECT clock_timestamp()::text AS now');
    await client.query('UPDATE ledger_cursors SET scan_at = clock_timestamp()');
    const begun = performance.now();
    for (;;) {
      const { rowCount } = await client.query('SELECT FROM ledger_cursors WHERE scanned_at < $1::timestamptz LIMIT 1', [
        rows[0]?.now,
      ]);
      const seconds = (performance.now() - begun) / 1000;
      if (rowCount === 0) return seconds;
      if (seconds * 1000 > PATIENCE_MS) throw new Error('Some accounts were not scanned.');
      await sleep(POLL_MS);
    }
  };

  const emptySeconds = await scanAll();
  await client.query(
    `INSERT INTO operations (account_id, id, stream_id, kind, received_at, xid, inserted_records, hidden_records, content_sha256, totalled,
       first_bucket, last_bucket)
     SELECT o.account_id, nextval('operation_ids'), o.stream_id, 'SUM', now(), pg_current_xact_id(), 0, 0, '', true,
       now() + interval '1 day', now() + interval '1 day'
     FROM (SELECT * FROM operations ORDER BY id LIMIT 1) o, generate_series(1, $1::int)`,
    [OPERATIONS],
  );
  await client.query('VACUUM ANALYZE operations');
  const busySeconds = await scanAll();

  await client.query(`INSERT INTO accounts (name) SELECT 'idle ' || i FROM generate_series(1, $1::int) i`, [ACCOUNTS]);
  for (const table of ['ledgers', 'ledger_cursors']) {
    await client.query(
      `INSERT INTO ${table} SELECT (jsonb_populate_record(x.t, jsonb_build_object('account_id', a.id))).*
       FROM (SELECT t FROM ${table} t LIMIT 1) x, accounts a WHERE a.name LIKE 'idle %'`,
    );
  }
  await client.query('VACUUM ANALYZE accounts, ledgers, ledger_cursors');
  const idleSeconds = await scanAll();
  await server.stop();
  return [
    {
      what: `scans for corrections of ${ACCOUNTS} accounts without new operations, one server`,
      against: '',
      value: ACCOUNTS / idleSeconds,
      unit: 'scans/s',
      bound: { atLeast: SCANS_PER_SECOND },
      details: { idleSeconds },
    },
    {
      what: `scan for corrections of one account with ${OPERATIONS} new operations in open buckets`,
      against: '',
      value: busySeconds,
      unit: 's',
      bound: { atMost: 3 },
      details: { busySeconds, emptySeconds },
    },
  ];
}
