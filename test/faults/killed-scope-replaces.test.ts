import { once } from 'node:events';
import { request } from 'node:http';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createChance, inForm } from './chance.ts';
import { type Deployment, type ServerProcess, startDeployment } from './deployment.ts';

// A month that is replaced as a whole by one NDJSON request, whose server is killed before the end of the body.

const ROUNDS = inForm({ short: 2, full: 10 });
const LINES = inForm({ short: 60_000, full: 300_000 });
/** Live records of November before the replace, each with the value 1. */
const LIVE = 5000;
const PIECE = 5000;

let deployment: Deployment;
let reader: ServerProcess;
beforeAll(async () => {
  deployment = await startDeployment();
  reader = await deployment.startServer({ ROLE: 'api' });
});
afterAll(() => deployment.close());

const lineOf = (index: number, value: number): string =>
  `{"timestamp":"2026-11-${String(1 + (index % 30)).padStart(2, '0')}","granularity":"DAILY","element-name":"customer-${index}","value":"${value}"}\n`;

interface Sent {
  readonly status: number;
  readonly body: string;
}

/** Sends lines in pieces. `onPiece` is called with the number of lines that were sent, after each piece. */
async function sendLines(
  server: ServerProcess,
  path: string,
  { lines, value, key }: { readonly lines: number; readonly value: number; readonly key: string },
  onPiece: (sent: number) => Promise<void> = () => Promise.resolve(),
): Promise<Sent> {
  const sending = request(`${server.url}/unit-cost/v1/telemetry/allocation/${path}`, {
    method: 'POST',
    headers: { 'X-API-Key': server.key, 'Content-Type': 'application/x-ndjson', 'Idempotency-Key': key },
  });
  const failed = once(sending, 'error').then(([error]): never => {
    throw error as Error;
  });
  failed.catch(() => undefined);
  const answered = once(sending, 'response');
  answered.catch(() => undefined);
  for (let from = 0; from < lines; from += PIECE) {
    const count = Math.min(PIECE, lines - from);
    const text = Array.from({ length: count }, (_, index) => lineOf(from + index, value)).join('');
    if (!sending.write(text)) await Promise.race([once(sending, 'drain'), failed]);
    await onPiece(from + count);
  }
  sending.end();
  const [response] = (await Promise.race([answered, failed])) as [NodeJS.ReadableStream & { statusCode: number }];
  let body = '';
  for await (const chunk of response) body += String(chunk);
  return { status: response.statusCode, body };
}

interface State {
  readonly total: string | undefined;
  readonly kinds: readonly string[];
}

async function readState(stream: string): Promise<State> {
  const { usage, stream: found } = await reader.graphql<{
    usage: { series: { total: string }[] };
    stream: { operations: { edges: { node: { kind: string } }[] } };
  }>(
    `query ($stream: String!) {
      usage(input: {meterApiNames: [$stream], from: "2026-11-01T00:00:00Z", to: "2026-12-01T00:00:00Z", aggregationBucket: MONTH}) {
        ... on Usage { series { total } } }
      stream(name: $stream) { operations(first: 10) { edges { node { kind } } } } }`,
    { stream },
  );
  return { total: usage.series[0]?.total, kinds: found.operations.edges.map(({ node }) => node.kind) };
}

test('replace of a month by NDJSON > changes nothing when its server is killed before the end, and succeeds when it is sent again', async () => {
  const chance = createChance('killed scope replaces');
  const scope = '?from=2026-11-01T00:00:00Z&to=2026-12-01T00:00:00Z';
  for (let round = 1; round <= ROUNDS; round += 1) {
    const stream = `killed-scope-${round}`;
    const before = { total: String(LIVE), kinds: ['SUM'] };
    expect((await sendLines(reader, `${stream}/sum`, { lines: LIVE, value: 1, key: stream })).status).toBe(200);
    expect(await readState(stream)).toEqual(before);

    const victim = await deployment.startServer({ ROLE: 'api' });
    const replacement = { lines: LINES, value: 2, key: `${stream} replaced` };
    const killedAt = chance.between(1, LINES / PIECE - 1) * PIECE;
    const killed = sendLines(victim, `${stream}/replace${scope}`, replacement, async (sent) => {
      // Readers see the records before the request while lines are staged.
      if (sent === killedAt) {
        expect(await readState(stream)).toEqual(before);
        victim.process.kill('SIGKILL');
        await victim.process.ended;
      }
    });
    await expect(killed).rejects.toThrow(/ECONNRESET|EPIPE|ECONNREFUSED|socket hang up/);
    expect(await readState(stream)).toEqual(before);

    const { status, body } = await sendLines(reader, `${stream}/replace${scope}`, replacement);
    expect([status, JSON.parse(body)]).toEqual([
      200,
      expect.objectContaining({ insertedRecords: LINES, hiddenRecords: LIVE }),
    ]);
    expect(await readState(stream)).toEqual({ total: String(2 * LINES), kinds: ['REPLACE', 'SUM'] });
  }
});
