import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openRowReader } from '../support/row-reader.ts';
import { withClient } from '../support/postgres-admin.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
});

afterAll(async () => {
  await database.drop();
});

/** All rows of a COPY, over its own connection. */
const copied = async (copy: string, url = database.url): Promise<string> => {
  const reader = await openRowReader(url, 1n, new AbortController().signal);
  try {
    const chunks: Buffer[] = [];
    // A chunk is valid until the next one is requested.
    for await (const chunk of reader.lines(copy)) chunks.push(Buffer.from(chunk));
    return Buffer.concat(chunks).toString();
  } finally {
    reader.close();
  }
};

/** Runs work with the URL of a proxy that forwards the bytes of the database in pieces of these lengths, repeatedly. */
const inPieces = async <Value>(lengths: readonly number[], work: (url: string) => Promise<Value>): Promise<Value> => {
  const behind = new URL(database.url);
  const sockets = new Set<Socket>();
  const between = createServer((front) => {
    const back = connect(Number(behind.port), behind.hostname);
    for (const socket of [front, back]) {
      sockets.add(socket);
      socket.setNoDelay();
      socket.on('error', () => undefined);
      socket.on('close', () => {
        front.destroy();
        back.destroy();
      });
    }
    front.pipe(back);
    const cut = async (): Promise<void> => {
      let piece = 0;
      for await (const chunk of back) {
        const bytes = chunk as Buffer;
        for (let at = 0; at < bytes.length; piece += 1) {
          const length = lengths[piece % lengths.length] ?? 1;
          front.write(bytes.subarray(at, at + length));
          at += length;
          // The reader, in the same process, reads each piece before the next is written.
          await nextTurn();
        }
      }
    };
    cut().catch(() => undefined);
  });
  between.listen(0, '127.0.0.1');
  await once(between, 'listening');
  const url = new URL(behind);
  url.hostname = '127.0.0.1';
  url.port = String((between.address() as AddressInfo).port);
  try {
    return await work(url.href);
  } finally {
    for (const socket of sockets) socket.destroy();
    between.close();
  }
};

test('CopyOut > returns rows of any length unchanged wherever the network splits the messages', () =>
  fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 0, max: 40 }), { minLength: 1, maxLength: 30 }),
      fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 6 }),
      async (widths, lengths) => {
        const rows = widths.map((width, index) => String(index % 10).repeat(width));
        const copy = `COPY (SELECT row FROM unnest('{${rows.map((row) => `"${row}"`).join(',')}}'::text[]) AS row) TO STDOUT`;
        expect(await inPieces(lengths, (url) => copied(copy, url))).toBe(rows.map((row) => `${row}\n`).join(''));
      },
    ),
    { numRuns: 25 },
  ));

test('CopyOut > returns many rows complete and in order, also rows that span several reads', async () => {
  const text = await copied(
    "COPY (SELECT i || ' ' || repeat('x', (i * 7919) % 300 + CASE WHEN i % 5000 = 0 THEN 200000 ELSE 0 END) FROM generate_series(1, 30000) AS i) TO STDOUT",
  );
  const lines = text.split('\n');
  expect(lines.pop()).toBe('');
  const wrong = lines.findIndex((line, index) => {
    const i = index + 1;
    return line !== `${i} ${'x'.repeat(((i * 7919) % 300) + (i % 5000 === 0 ? 200_000 : 0))}`;
  });
  expect({ lines: lines.length, wrong }).toEqual({ lines: 30_000, wrong: -1 });
});

test('CopyOut > does not return notices that PostgreSQL sends between rows', async () => {
  await withClient(database.url, (client) =>
    client.query(
      `CREATE FUNCTION noticed(i int) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'row %', i; RETURN 'r' || i; END $$`,
    ),
  );
  expect(await copied('COPY (SELECT noticed(i) FROM generate_series(1, 500) AS i) TO STDOUT')).toBe(
    Array.from({ length: 500 }, (_, index) => `r${index + 1}\n`).join(''),
  );
});

test.each([
  ['in the middle of the rows', 'COPY (SELECT 1 / (20000 - i) FROM generate_series(1, 40000) AS i) TO STDOUT'],
  ['before the first row', 'COPY (SELECT 1 / 0) TO STDOUT'],
  ['in what follows the rows', 'COPY (SELECT i FROM generate_series(1, 40000) AS i) TO STDOUT; SELECT 1 / 0'],
])('CopyOut > throws an error %s', async (_, copy) => {
  await expect(copied(copy)).rejects.toThrow('division by zero');
});
