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
    new Promise((resolve) => setTimeout(resolve, 5000, 'never ended')),
  ]);

test('a connection that is being made when the run is stopped is given up at once', async () => {
  const sockets = new Set<Socket>();
  // Takes connections and says nothing, as a database does that has no time.
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

test('whatever it does when the run is stopped, it ends: between statements, in one, and in the middle of the lines', async () => {
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
    // Which also says that no session of a reader is left.
    await database.drop();
  }
});
