import { parser } from '@prometheus-io/lezer-promql';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'yaml';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { addRecords, exportOnce } from '../support/job-steps.ts';
import { scrape, type Scrape } from '../support/scrape.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { ROOT } from '../support/source-files.ts';

// The alert rules and the dashboard are held against what a real server tells: each name, each label and each value of a label
// that stands in them.

interface Expression {
  readonly where: string;
  readonly text: string;
}

interface Panel {
  readonly title: string;
  readonly type: string;
  readonly id: number;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly { readonly expr: string; readonly refId: string }[];
}

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

const read = (path: string): Promise<string> => readFile(join(ROOT, 'deploy', path), 'utf8');

const rules = (parse(await read('prometheus/alerts.yaml')) as { groups: { rules: Rule[] }[] }).groups.flatMap(
  (group) => group.rules,
);
const { panels } = JSON.parse(await read('grafana/sluice.json')) as { panels: Panel[] };

const expressions: readonly Expression[] = [
  ...rules.map(({ alert, expr }) => ({ where: alert, text: expr })),
  ...panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => ({ where: title, text: expr }))),
];

/** Of Prometheus itself. */
const ITS_OWN_METRICS = new Set(['up']);
const ITS_OWN_LABELS = new Set(['instance', 'job']);

let server: TestServer;
let seen: Scrape;
/** Those that are the same on every server. */
let ofAllServers: ReadonlySet<string>;
beforeAll(async () => {
  server = await startTestServer();
  const day = '2026-01-25T00:00:00Z';
  await addRecords(server, 'calls', 'DAILY', [{ timestamp: day, elementName: 'acme', value: '1' }]);
  await exportOnce(server, { meterApiNames: ['calls'] }, '2026-01-28T02:00:00Z');
  seen = await scrape(server.url);
  const text = await (await fetch(`${server.url}/metrics`)).text();
  ofAllServers = new Set(
    [...text.matchAll(/^# HELP (\w+) .*take max\(\), not sum\(\)\.$/gm)].map(([, name = '']) => name),
  );
});
afterAll(() => server.stop());

/** What Grafana fills in before it asks. */
const filledIn = (text: string): string => text.replaceAll('$__rate_interval', '5m').replaceAll('$job', 'sluice');

interface Selector {
  readonly metric: string;
  readonly matchers: readonly { readonly label: string; readonly isEqual: boolean; readonly value: string }[];
  /** The aggregation closest around it, such as `max`; null where there is none. */
  readonly aggregatedBy: string | null;
}

/** Throws where it is no PromQL. */
const selectorsOf = (
  expression: string,
): { readonly selectors: readonly Selector[]; readonly by: readonly string[] } => {
  const text = filledIn(expression);
  const selectors: Selector[] = [];
  const by: string[] = [];
  const tree = parser.parse(text);
  const cut = (node: { from: number; to: number } | null): string => (node ? text.slice(node.from, node.to) : '');
  tree.iterate({
    enter: ({ type, node, from }) => {
      if (type.isError) throw new Error(`No PromQL at ${from}: ${text.slice(from, from + 20)}`);
      if (type.name === 'GroupingLabels') by.push(...node.getChildren('LabelName').map(cut));
      if (type.name !== 'VectorSelector') return;
      let around = node.parent;
      while (around && around.name !== 'AggregateExpr') around = around.parent;
      selectors.push({
        metric: cut(node.getChild('Identifier')),
        matchers: (node.getChild('LabelMatchers')?.getChildren('UnquotedLabelMatcher') ?? []).map((matcher) => ({
          label: cut(matcher.getChild('LabelName')),
          isEqual: matcher.getChild('MatchOp')?.firstChild?.name === 'EqlSingle',
          value: cut(matcher.getChild('StringLiteral')).slice(1, -1),
        })),
        aggregatedBy: around ? cut(around.getChild('AggregateOp')) : null,
      });
    },
  });
  return { selectors, by };
};

/** What is wrong with an expression, in words. */
const problemsOf = (expression: string): string[] => {
  const { selectors, by } = selectorsOf(expression);
  const problems: string[] = [];
  const labelsSeen = new Set(ITS_OWN_LABELS);
  for (const { metric, matchers, aggregatedBy } of selectors) {
    if (ITS_OWN_METRICS.has(metric)) continue;
    const samples = seen.samples.filter(({ name }) => name === metric);
    if (samples.length === 0) problems.push(`no server tells ${metric}`);
    for (const { labels } of samples) for (const label of Object.keys(labels)) labelsSeen.add(label);
    for (const { label, isEqual, value } of matchers) {
      if (ITS_OWN_LABELS.has(label)) continue;
      const values = new Set(samples.flatMap(({ labels }) => labels[label] ?? []));
      if (values.size === 0) problems.push(`${metric} has no label ${label}`);
      // Of requests only those are seen that were made.
      else if (isEqual && metric !== 'sluice_requests_total' && !values.has(value))
        problems.push(`${label} of ${metric} is never ${value}`);
    }
    if (ofAllServers.has(metric) && aggregatedBy !== 'max')
      problems.push(`${metric} is the same on every server: max() of it, not ${aggregatedBy ?? 'each'}`);
  }
  return [
    ...problems,
    ...by.filter((label) => !labelsSeen.has(label)).map((label) => `nothing has the label ${label}`),
  ];
};

describe('alert rules and dashboard', () => {
  test.each(expressions)('what $where asks for is what a server tells: $text', ({ text }) => {
    expect(problemsOf(text)).toEqual([]);
  });

  test('there are some, and some metrics are of the whole deployment', () => {
    expect(rules.length).toBeGreaterThan(8);
    expect(expressions.length).toBeGreaterThan(30);
    expect([...ofAllServers].toSorted()).toEqual([
      'sluice_oldest_waiting_run_age_seconds',
      'sluice_runs',
      'sluice_runs_ended_total',
      'sluice_slot_lag_seconds',
    ]);
  });

  test.each([
    ['max(sluice_slot_lags_seconds)', 'no server tells sluice_slot_lags_seconds'],
    ['sum(sluice_runs)', 'sluice_runs is the same on every server: max() of it, not sum'],
    ['sluice_run_attempts_total{outcome="succeded"}', 'outcome of sluice_run_attempts_total is never succeded'],
    ['sum by (opration) (sluice_requests_total)', 'nothing has the label opration'],
    ['sluice_subscriptions_open{api="rest"}', 'sluice_subscriptions_open has no label api'],
  ])('what is misspelt is found: %s', (text, problem) => {
    expect(problemsOf(text)).toEqual([problem]);
  });

  test('what is no PromQL is found', () => {
    expect(() => selectorsOf('sum(rate(sluice_requests_total[5m]) >')).toThrow('No PromQL');
  });

  test('every metric that is ours is in the dashboard', () => {
    const shown = new Set(
      panels.flatMap(({ targets = [] }) =>
        targets.flatMap(({ expr }) => selectorsOf(expr).selectors.map(({ metric }) => metric)),
      ),
    );
    const families = new Set(
      seen.samples.flatMap(({ name }) =>
        name.startsWith('sluice_') ? name.replace(/_(?:bucket|sum|count)$/, '') : [],
      ),
    );
    const missing = [...families].filter(
      (family) => ![...shown].some((name) => name === family || name.startsWith(`${family}_`)),
    );
    expect(missing).toEqual([]);
  });

  test('each rule says how bad it is and what to do, and each has a name of its own', () => {
    expect(new Set(rules.map(({ alert }) => alert)).size).toBe(rules.length);
    for (const { alert, labels, annotations } of rules) {
      expect([alert, labels['severity']]).toEqual([alert, expect.stringMatching(/^(?:critical|warning)$/)]);
      expect(annotations).toEqual({ summary: expect.stringMatching(/\S/), description: expect.stringMatching(/\S/) });
    }
  });

  test('no panel lies on another', () => {
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) => {
      expect(x + w).toBeLessThanOrEqual(24);
      return Array.from({ length: w * h }, (_, index) => `${x + (index % w)} ${y + Math.floor(index / w)}`);
    });
    expect(new Set(cells).size).toBe(cells.length);
  });
});
