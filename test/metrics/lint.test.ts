import { expect, test } from 'vitest';
import { startTestServer } from '../support/server.ts';
import { familiesOf, lintMetrics } from './lint.ts';

test('metrics > follow the naming rules of Prometheus', async () => {
  const server = await startTestServer();
  try {
    const exposition = await (await fetch(`${server.url}/metrics`)).text();
    expect(familiesOf(exposition).length).toBeGreaterThan(40);
    expect(lintMetrics(exposition)).toEqual([]);
  } finally {
    await server.stop();
  }
});

test.each([
  ['# HELP a A.\n# TYPE a counter\na 1', 'a is a counter without the suffix _total'],
  ['# HELP a_total A.\n# TYPE a_total gauge\na_total 1', 'a_total has the suffix _total but is not a counter'],
  ['# TYPE a gauge\na 1', 'a has no help text'],
  ['# HELP a_count A.\n# TYPE a_count gauge\na_count 1', 'a_count has a suffix of histograms and summaries'],
  ['# HELP a_ms A.\n# TYPE a_ms gauge\na_ms 1', 'a_ms abbreviates its unit'],
  ['# HELP a_milliseconds A.\n# TYPE a_milliseconds gauge', 'a_milliseconds has another unit than the base unit'],
  ['# HELP a_gauge A.\n# TYPE a_gauge gauge\na_gauge 1', 'a_gauge names its type'],
  ['# HELP aB A.\n# TYPE aB gauge\naB 1', 'aB is in camel case'],
  ['# HELP a A.\n# TYPE a gauge\na{le="1"} 1', 'a has the label le'],
])('lintMetrics > reports the broken rule in %j', (exposition, problem) => {
  expect(lintMetrics(exposition)).toContain(problem);
});
