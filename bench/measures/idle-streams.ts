import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import type { Figure } from '../support/figures.ts';
import { databaseSeconds } from '../support/database-seconds.ts';
import type { SluiceServer } from '../support/server-process.ts';
import type { Stage } from '../support/stage.ts';

// CPU time of idle streams, of the server and of PostgreSQL together.

const FEW = { accounts: 30, streams: 500 };
const MANY = { accounts: 3000, streams: 50_000 };
/** Two rounds of the sweep of totals. */
const MEASURED_MS = 30_000;

export async function measureIdleStreams(stage: Stage): Promise<Figure[]> {
  const server = await stage.server();
  const client = await stage.connect();
  await addStreams(client, FEW, 0);
  const few = await percentOf(server, client);
  await addStreams(client, { accounts: MANY.accounts - FEW.accounts, streams: MANY.streams - FEW.streams }, 1);
  const many = await percentOf(server, client);
  await server.stop();
  return [
    {
      what: `CPU with ${MANY.streams} idle streams in ${MANY.accounts} accounts`,
      against: `with ${FEW.streams} in ${FEW.accounts}`,
      value: many / few,
      unit: 'x',
      bound: { atMost: 2 },
      details: { percent: many, percentWithFew: few },
    },
  ];
}

interface Population {
  readonly accounts: number;
  readonly streams: number;
}

/** Each stream has three operations. */
async function addStreams(client: pg.Client, { accounts, streams }: Population, round: number): Promise<void> {
  await client.query(`INSERT INTO accounts (name) SELECT $2 || i FROM generate_series(1, $1::int) i`, [
    accounts,
    `idle ${round} `,
  ]);
  await client.query(
    `INSERT INTO streams (account_id, name, granularity, dimensions, created_at, created_xid)
     SELECT a.id, 'idle-' || i, 'DAILY', '{region}', now(), pg_current_xact_id()
     FROM (SELECT id, row_number() OVER (ORDER BY id) AS place FROM accounts WHERE name LIKE $3) a
     JOIN generate_series(1, $1::int) i ON i % $2::int + 1 = a.place`,
    [streams, accounts, `idle ${round} %`],
  );
  await client.query(
    `INSERT INTO operations (account_id, stream_id, kind, received_at, xid, totalled, inserted_records, hidden_records, content_sha256)
     SELECT s.account_id, s.id, 'SUM', now(), pg_current_xact_id(), true, 1, 0, ''
     FROM streams s JOIN accounts a ON a.id = s.account_id, generate_series(1, 3) WHERE a.name LIKE $1`,
    [`idle ${round} %`],
  );
  await client.query('VACUUM ANALYZE accounts, streams, operations');
}

async function percentOf(server: SluiceServer, client: pg.Client): Promise<number> {
  const seconds = async (): Promise<number> => (await server.cpuSeconds()) + (await databaseSeconds(client));
  const before = await seconds();
  await sleep(MEASURED_MS);
  return ((await seconds()) - before) / (MEASURED_MS / 100_000);
}
