import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { expect, test } from 'vitest';
import { openRowReader } from '../support/row-reader.ts';
import { createTestDatabase } from '../support/postgres.ts';

const outcomeOf = (work: Promise<unknown>): Promise<unknown> =>
  Promise.race([
    work.then(
      () => 'ended well',
      (error: unknown) => (error as Error).message,
    ),
    new Promise((resolve) => setTimeout(resolve, 30_000, 'never ended')),
  ]);

test('row reader > stops connecting immediately when the run is stopped', async () => {
  const sockets = new Set<Socket>();
  // Accepts connections and sends nothing, as an overloaded database does.
  const silent = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
  });
  silent.listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const { port } = silent.address() as AddressInfo;
  try {
    const stopping = new AbortController();
    const opening = openRowReader(`postgres://somebody@127.0.0.1:${port}/nothing`, 1n, stopping.signal);
    await once(silent, 'connection');
    stopping.abort(new Error('the lease is lost'));
    expect(await outcomeOf(opening)).toBe('the lease is lost');
  } finally {
    for (const socket of sockets) socket.destroy();
    silent.close();
  }
});

test('row reader > ends when the run is stopped between statements, within one, and within the lines', async () => {
  const database = await createTestDatabase();
  try {
    const rows = "COPY (SELECT repeat('x', 1000) FROM generate_series(1, 100000)) TO STDOUT";
    const steps = {
      between: async (reader: Awaited<ReturnType<typeof openRowReader>>, stop: () => void) => {
        stop();
        for await (const chunk of reader.lines(rows)) expect(chunk.length).toBeGreaterThan(0);
      },
      statement: async (reader: Awaited<ReturnType<typeof openRowReader>>, stop: () => void) => {
        const statement = reader.db.execute('SELECT pg_sleep(60)');
        setTimeout(stop, 50);
        await statement;
      },
      lines: async (reader: Awaited<ReturnType<typeof openRowReader>>, stop: () => void) => {
        for await (const chunk of reader.lines(rows)) {
          expect(chunk.length).toBeGreaterThan(0);
          stop();
        }
      },
    };
    for (const [name, step] of Object.entries(steps)) {
      const stopping = new AbortController();
      const reader = await openRowReader(database.url, 1n, stopping.signal);
      const outcome = await outcomeOf(step(reader, () => stopping.abort(new Error('stop'))));
      expect([name, outcome]).not.toContain('never ended');
      expect([name, outcome]).not.toContain('ended well');
      reader.close();
    }
  } finally {
    // Also checks that no session of a reader remains.
    await database.drop();
  }
});
