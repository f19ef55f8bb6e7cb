import { type Figure, median } from '../support/figures.ts';
import { recordAt } from '../support/made-up-records.ts';
import { post } from '../support/senders.ts';
import type { SluiceServer } from '../support/server-process.ts';
import type { Stage } from '../support/stage.ts';
import { fillStream, piecesOf } from '../support/streams.ts';

// A month that is replaced as a whole by one NDJSON request with a scope, compared with a delete of the same records and then the same
// request without a scope.

const LINES = 3_000_000;
/** Live records of the month before it is replaced. */
const LIVE = 1_000_000;
const SHAPE = { days: 30, keys: LINES, repeats: 1 };
/** Alternating, so that a change in the machine's speed affects both ways. */
const ROUNDS = 3;
const DAY_MS = 86_400_000;

interface Taken {
  readonly seconds: number;
  /** Most memory of the server, above that before the request. */
  readonly riseMb: number;
}

export async function measureScopeReplace(stage: Stage): Promise<Figure[]> {
  const server = await stage.server();
  const client = await stage.connect();
  const days = Array.from({ length: SHAPE.days }, (_, index) => recordAt(index, SHAPE).day).toSorted();
  const [first = ''] = days;
  const end = new Date(Date.parse(first) + SHAPE.days * DAY_MS).toISOString();
  const scope = `?from=${first}T00:00:00Z&to=${end}`;
  const whole = Buffer.from(
    JSON.stringify({ records: days.map((day) => ({ timestamp: `${day}T00:00:00Z`, granularity: 'DAILY' })) }),
  );

  const rounds: { readonly scoped: Taken; readonly apart: Taken }[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const [scopedStream, apartStream] = [`scoped-${round}`, `apart-${round}`];
    for (const stream of [scopedStream, apartStream]) await fillStream(server.url, stream, { ...SHAPE, keys: LIVE });
    await client.query('VACUUM ANALYZE records, totals, filters, operations');
    const scoped = await take(server, async () => {
      await send(server, scopedStream, `replace${scope}`, piecesOf(SHAPE, 0, LINES), `"hiddenRecords":${LIVE}`);
    });
    const apart = await take(server, async () => {
      await send(server, apartStream, 'delete', whole, `"hiddenRecords":${LIVE}`);
      await send(server, apartStream, 'replace', piecesOf(SHAPE, 0, LINES), `"insertedRecords":${LINES}`);
    });
    rounds.push({ scoped, apart });
  }
  await server.stop();

  const scopedSeconds = median(rounds.map(({ scoped }) => scoped.seconds));
  const apartSeconds = median(rounds.map(({ apart }) => apart.seconds));
  const riseMb = median(rounds.map(({ scoped }) => scoped.riseMb));
  const apartRiseMb = median(rounds.map(({ apart }) => apart.riseMb));
  const what = `replace of a month of ${LIVE} records by ${LINES} lines of NDJSON with a scope`;
  return [
    {
      what,
      against: 'a delete of the same records and the same replace without a scope',
      value: scopedSeconds / apartSeconds,
      unit: 'x',
      bound: { atMost: 1.1 },
      details: { scopedSeconds, apartSeconds },
    },
    {
      what: `memory of a ${what}`,
      against: '',
      value: riseMb,
      unit: 'MB',
      bound: { atMost: 150 },
      details: { riseMb, apartRiseMb },
    },
  ];
}

async function take(server: SluiceServer, work: () => Promise<void>): Promise<Taken> {
  const before = await server.memoryMb();
  await server.resetPeak();
  const begun = performance.now();
  await work();
  const seconds = (performance.now() - begun) / 1000;
  return { seconds, riseMb: (await server.peakMemoryMb()) - before };
}

async function send(
  { url }: SluiceServer,
  stream: string,
  verb: string,
  body: Buffer | Iterable<Buffer>,
  expected: string,
): Promise<void> {
  const type = Buffer.isBuffer(body) ? 'application/json' : 'application/x-ndjson';
  const path = `/unit-cost/v1/telemetry/allocation/${stream}/${verb}`;
  const { status, text } = await post(url, path, body, { 'content-type': type });
  if (status >= 300 || !text.includes(expected)) throw new Error(`${status}: ${text.slice(0, 500)}`);
}
