import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createSchema } from '../../src/graphql/schema/schema.ts';
import { connectToHeap, type Memory } from '../support/heap.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';
import { eventually } from '../support/server.ts';
import { startStrictS3, type StrictS3 } from '../support/strict-s3.ts';
import { fuzz } from './run.ts';

// npm run test:fuzz, with FUZZ_INPUTS and FUZZ_SEED: very many inputs to a server in a process of its own, whose memory is
// measured. It says so in its log where it was surprised, and the log has to stay empty.

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const KEY = 'fuzz-fuzz-fuzz-fuzz-fuzz-fuzz-fuzz-fuzz';
const count = Number(process.env['FUZZ_INPUTS'] ?? 100_000);
const seed = Number(process.env['FUZZ_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
/** Share of inputs before the measurement of memory, in which a server fills its caches: statements, documents, compiled code. */
const WARM_UP_SHARE = 0.1;
/** More than the caches may still take that are bounded by a number of entries. */
const MAX_GROWTH_MB = 24;

let database: TestDatabase;
let s3: StrictS3;
beforeAll(async () => {
  database = await createTestDatabase();
  s3 = await startStrictS3({ buckets: ['exports'] });
});
afterAll(async () => {
  await s3.close();
  await database.drop();
});

const startServer = async () => {
  const child = spawn(process.execPath, ['--inspect=127.0.0.1:0', MAIN], {
    env: {
      PATH: process.env['PATH'],
      ROLE: 'api',
      PORT: '0',
      LOG_FORMAT: 'json',
      DATABASE_URL: database.url,
      API_KEY: KEY,
      AWS_REGION: s3.region,
      AWS_ENDPOINT_URL_S3: s3.endpoint,
      AWS_ACCESS_KEY_ID: s3.credentials.accessKeyId,
      AWS_SECRET_ACCESS_KEY: s3.credentials.secretAccessKey,
    },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (said += chunk));
  const ended = once(child, 'exit');
  const find = (pattern: RegExp): Promise<string> =>
    eventually(
      async () => pattern.exec(said)?.[1] ?? '',
      (found) => found !== '',
    );
  return {
    url: await find(/"url":"([^"]+)"/),
    heap: await connectToHeap(await find(/(ws:\/\/\S+)/)),
    /** Warnings and worse. */
    complaints: () => said.split('\n').filter((line) => /^\{"level":[456]0/.test(line)),
    stop: async () => {
      child.kill('SIGTERM');
      const [code] = await ended;
      return code as number | null;
    },
  };
};

const show = ({ heap, external }: Memory): string =>
  `${heap.toFixed(1)} MB of heap, ${external.toFixed(1)} MB beside it`;

test(`${count} inputs: none answered with a 5xx or not at all, and the memory does not grow`, async () => {
  process.stdout.write(`FUZZ_SEED=${seed} FUZZ_INPUTS=${count}\n`);
  const server = await startServer();
  const measured: Memory[] = [];
  const began = performance.now();
  try {
    const report = await fuzz({
      target: { url: server.url, key: KEY },
      schema: createSchema(),
      seed,
      count,
      every: count * WARM_UP_SHARE,
      onProgress: async (sent) => {
        const memory = await server.heap.measure();
        measured.push(memory);
        const seconds = Math.round((performance.now() - began) / 1000);
        process.stdout.write(`${sent} inputs, ${seconds} s: ${show(memory)}\n`);
      },
    });
    process.stdout.write(`by kind: ${JSON.stringify(report.byKind)}\nby answer: ${JSON.stringify(report.byStatus)}\n`);
    // Together: the log says why.
    expect({ faults: report.faults, complaints: server.complaints() }).toEqual({ faults: [], complaints: [] });
    // Else all the rest were refused at the door.
    expect(report.byStatus['200']).toBeGreaterThan(count / 10);
    const [before, after] = [measured[0], measured.at(-1)];
    expect((after?.heap ?? 0) - (before?.heap ?? 0)).toBeLessThan(MAX_GROWTH_MB);
    expect((after?.external ?? 0) - (before?.external ?? 0)).toBeLessThan(MAX_GROWTH_MB);
  } finally {
    server.heap.close();
    expect(await server.stop()).toBe(0);
  }
});
