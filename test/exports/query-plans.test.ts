import { expect, test } from 'vitest';
import { addRecords, exportOnce, filterOf, multiplyRecords, type Settings } from '../support/job-steps.ts';
import { createTestDatabase } from '../support/postgres.ts';
import { startTestServer } from '../support/server.ts';

const SLOT = '2026-01-28T02:00:00Z';

/** Settings with which PostgreSQL reads, groups and sorts in different ways. */
const PLANS = {
  'its own': [],
  parallel: ['parallel_setup_cost=0', 'parallel_tuple_cost=0', 'min_parallel_table_scan_size=0'],
  'without hashing': ['enable_hashagg=off', 'enable_hashjoin=off'],
  'without sorting': ['enable_sort=off', 'enable_incremental_sort=off', 'enable_mergejoin=off'],
};

test('export > writes the same bytes in order with any plan of PostgreSQL', { timeout: 60_000 }, async () => {
  const database = await createTestDatabase();
  const texts: Record<string, string[]> = {};
  for (const [name, settings] of Object.entries(PLANS)) {
    const url = new URL(database.url);
    if (settings.length > 0) url.searchParams.set('options', settings.map((setting) => `-c ${setting}`).join(' '));
    const server = await startTestServer({ database: { url: url.href, drop: async () => {} } });
    try {
      if (name === 'its own') {
        for (const stream of ['late', 'early']) {
          await addRecords(
            server,
            stream,
            'DAILY',
            ['2026-01-24', '2026-01-25'].flatMap((day) =>
              ['b', 'a', '\u00e9'].map((element) => ({
                timestamp: `${day}T00:00:00Z`,
                elementName: element,
                value: '0.1',
                filter: filterOf({ x: [element, 'z'] }),
              })),
            ),
          );
          await multiplyRecords(server, stream, 500);
        }
      }
      const jobs: Settings[] = [['element'], ['x', 'element'], ['x'], []].map((groupBy, index) => ({
        jobName: `${name} ${index}`,
        meterApiNames: ['late', 'early'],
        format: 'NDJSON',
        groupBy,
      }));
      const files = [];
      for (const job of jobs) files.push((await exportOnce(server, job, SLOT)).text);
      texts[name] = files;
    } finally {
      await server.stop();
    }
  }
  await database.drop();
  const [own, ...others] = Object.values(texts);
  for (const other of others) expect(other).toEqual(own);
  const elements = (own?.[0] ?? '').split('\n').slice(0, -1);
  expect(elements).toHaveLength(2 * 2 * 3 * 501);
  const keys = elements.map((line) => {
    const row = JSON.parse(line) as Record<'meterApiName' | 'bucketStart' | 'element', string>;
    return Buffer.from(`${row.meterApiName}\0${row.bucketStart}\0${row.element}`);
  });
  expect(keys).toEqual(keys.toSorted(Buffer.compare));
});
