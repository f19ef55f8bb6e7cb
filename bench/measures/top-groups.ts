import { type Figure, median } from '../support/figures.ts';
import { ask } from '../support/senders.ts';
import type { Stage } from '../support/stage.ts';
import { fillStream } from '../support/streams.ts';

// Usage of the ten elements with the largest totals and of the others, compared with PostgreSQL ranking the same records. The two
// alternate, so that a change in the machine's speed affects both.

const ELEMENTS = 25_000;
const RECORDS = 2_000_000;
const TOP = 10;
const TRIES = 7;

/**
 * In one bucket, records are read once. In several, they are read again for the points of the top elements: 2.5 to 3.6 times the time of
 * PostgreSQL on a machine with other load (November 2026), where summing by bucket and element took 18 times.
 */
const SHAPES = [
  { days: 1, name: 'in one day', atMost: 1.5 },
  { days: 40, name: 'by day in 40 days', atMost: 4 },
];

const QUERY = `query ($from: DateTime!, $to: DateTime!) { usage(input: { from: $from, to: $to, aggregationBucket: DAY, groupBy: ["element"],
  top: ${TOP} }) { ... on Usage { series { groupCount total points { value } } } } }`;

const DAY_MS = 86_400_000;

const RANKING = `SELECT element, sum(value) FROM records GROUP BY 1 ORDER BY 2 DESC LIMIT ${TOP}`;

interface Answer {
  readonly usage: { readonly series?: readonly { readonly groupCount: number }[] };
}

export async function measureTopGroups(stage: Stage): Promise<Figure[]> {
  const server = await stage.server({ ROLE: 'api' });
  const figures: Figure[] = [];
  for (const shape of SHAPES) figures.push(await measure(stage, server.url, shape));
  await server.stop();
  return figures;
}

async function measure(stage: Stage, url: string, { days, name, atMost }: (typeof SHAPES)[number]): Promise<Figure> {
  const client = await stage.connect();
  await client.query('TRUNCATE records, totals');
  const keys = ELEMENTS * days;
  await fillStream(url, `customers-${days}`, { days, keys, repeats: RECORDS / keys });
  await client.query('VACUUM ANALYZE records, totals, filters, operations');
  const to = Math.floor(Date.now() / DAY_MS) * DAY_MS;
  const window = { from: new Date(to - days * DAY_MS), to: new Date(to) };
  const tries: { readonly usage: number; readonly limit: number }[] = [];
  for (let attempt = 0; attempt < TRIES; attempt += 1) {
    const begun = performance.now();
    await client.query(RANKING);
    const ranked = performance.now();
    const { usage } = await ask<Answer>(url, QUERY, window);
    const ended = performance.now();
    const groups = usage.series?.reduce((sum, { groupCount }) => sum + groupCount, 0);
    if (groups !== ELEMENTS) throw new Error(`${groups} groups, not ${ELEMENTS}.`);
    tries.push({ usage: (ended - ranked) / 1000, limit: (ranked - begun) / 1000 });
  }
  return {
    what: `usage of the top ${TOP} of ${ELEMENTS} elements ${name}, over ${RECORDS} records`,
    against: 'PostgreSQL ranking the sums of the same records',
    value: median(tries.map(({ usage, limit }) => usage / limit)),
    unit: 'x',
    bound: { atMost },
    details: {
      usageSeconds: median(tries.map(({ usage }) => usage)),
      rankingSeconds: median(tries.map(({ limit }) => limit)),
    },
  };
}
