import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'yaml';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { addRecords, exportOnce, querySql } from '../support/job-steps.ts';
import { scrape } from '../support/scrape.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';
import { ROOT } from '../support/source-files.ts';
import { missingLabels, problemsOf, selectorsOf, type ReportedMetrics } from './promql.ts';

// Compares the alert rules and the dashboard with the metrics of real servers: each name, each label and each value of a label
// that they contain.

interface Panel {
  readonly title: string;
  readonly type: string;
  readonly id: number;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly { readonly expr: string; readonly refId: string; readonly legendFormat: string }[];
}

interface Dashboard {
  readonly panels: readonly Panel[];
  readonly templating: {
    readonly list: readonly { readonly name: string; readonly query: string | { readonly query: string } }[];
  };
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
const { scrape_configs: scraped } = parse(await read('prometheus/prometheus.yaml')) as {
  scrape_configs: { job_name: string }[];
};
const dashboard = JSON.parse(await read('grafana/sluice.json')) as Dashboard;
const { panels, templating } = dashboard;
const targets = panels.flatMap(({ title, targets: some = [] }) =>
  some.map(({ expr, legendFormat }) => ({ where: title, text: expr, legend: legendFormat })),
);

const expressions: readonly { readonly where: string; readonly text: string }[] = [
  ...rules.map(({ alert, expr }) => ({ where: alert, text: expr })),
  ...targets,
];

let server: TestServer;
let worker: TestServer;
let reported: ReportedMetrics;
/** Metrics before the first request. */
let fresh: ReportedMetrics;
beforeAll(async () => {
  server = await startTestServer();
  worker = await startTestServer({ env: { ROLE: 'worker' }, database: server.database, s3: server.s3 });
  const unasked = await Promise.all([scrape(server.url), scrape(worker.url)]);
  fresh = { samples: unasked.flatMap(({ samples }) => samples), ofAllServers: new Set() };
  const day = '2026-01-25T00:00:00Z';
  await addRecords(server, 'calls', 'DAILY', [{ timestamp: day, elementName: 'acme', value: '1' }]);
  await exportOnce(server, { meterApiNames: ['calls'] }, '2026-01-28T02:00:00Z');
  // This request fails, because its table does not exist.
  const streams = '{ streams(first: 1) { edges { node { id } } } }';
  await querySql(server, 'ALTER TABLE streams RENAME TO streams_away');
  await server.request(streams);
  await querySql(server, 'ALTER TABLE streams_away RENAME TO streams');
  // A request is counted shortly after its response was sent.
  const seen = await eventually(
    () => Promise.all([scrape(server.url), scrape(worker.url)]),
    ([first]) => first.value('sluice_requests_total', { operation: 'query streams' }) === 1,
  );
  const text = await (await fetch(`${server.url}/metrics`)).text();
  reported = {
    samples: seen.flatMap(({ samples }) => samples),
    ofAllServers: new Set(
      [...text.matchAll(/^# HELP (\w+) .*use max\(\).*, not sum\(\)\.$/gm)].map(([, name = '']) => name),
    ),
  };
});
afterAll(async () => {
  await worker.stop();
  await server.stop();
});

describe('alert rules and dashboard', () => {
  test.each(expressions)(
    '$where > queries only metrics, labels and values that a server reports: $text',
    ({ text }) => {
      expect(problemsOf(text, reported)).toEqual([]);
    },
  );

  test.each(expressions)('$where > has series before the first request and the first failure: $text', ({ text }) => {
    expect(problemsOf(text, fresh)).toEqual([]);
  });

  test('exist, and some metrics are about the whole deployment', () => {
    expect(rules.length).toBeGreaterThan(8);
    expect(expressions.length).toBeGreaterThan(30);
    expect([...reported.ofAllServers].toSorted()).toEqual([
      'sluice_deliveries',
      'sluice_ledger_scan_lag_seconds',
      'sluice_oldest_restatement_age_seconds',
      'sluice_oldest_waiting_run_age_seconds',
      'sluice_restatements_total',
      'sluice_runs',
      'sluice_runs_ended_total',
      'sluice_slot_lag_seconds',
    ]);
  });

  test.each([
    ['max(sluice_slot_lags_seconds)', 'no server reports sluice_slot_lags_seconds'],
    ['sum(sluice_runs)', 'sluice_runs is about all servers: use max(), not sum'],
    ['sluice_runs', 'sluice_runs is about all servers: use max(), not each'],
    ['sluice_run_attempts_total{outcome="succeded"}', 'outcome of sluice_run_attempts_total is never succeded'],
    ['sluice_requests_total{outcome="faild"}', 'outcome of sluice_requests_total is never faild'],
    ['sluice_requests_total{outcome!="okay"}', 'outcome of sluice_requests_total is never okay'],
    ['sluice_build_info{role=~"all|wrker"}', 'role of sluice_build_info is never ^(?:wrker)$'],
    ['sluice_mails_total{outcome!~"snt|deferred"}', 'outcome of sluice_mails_total is never ^(?:snt)$'],
    ['sum by (opration) (sluice_requests_total)', 'sluice_requests_total has no label opration'],
    ['sluice_subscriptions_open{api="rest"}', 'sluice_subscriptions_open has no label api'],
  ])('are compared by problemsOf, which finds a misspelt name: %s', (text, problem) => {
    expect(problemsOf(text, reported)).toEqual([problem]);
  });

  test('are parsed by selectorsOf, which throws when an expression is not valid', () => {
    expect(() => selectorsOf('sum(rate(sluice_requests_total[5m]) >')).toThrow('Invalid PromQL');
  });

  test('have legends and texts that name only labels of their expressions', () => {
    const inLegend = (legend: string): string[] => [...legend.matchAll(/\{\{(\w+)\}\}/g)].map(([, name = '']) => name);
    const inText = (text: string): string[] => [...text.matchAll(/\$labels\.(\w+)/g)].map(([, name = '']) => name);
    const named = [
      ...targets.map(({ where, text, legend }) => ({ where, text, labels: inLegend(legend) })),
      ...rules.map(({ alert, expr, annotations }) => ({
        where: alert,
        text: expr,
        labels: inText(Object.values(annotations).join()),
      })),
    ];
    expect(named.filter(({ labels }) => labels.length > 0).length).toBeGreaterThan(20);
    const missing = named.flatMap(({ where, text, labels }) => {
      const without = missingLabels(text, labels, reported);
      return without.length === 0 ? [] : [[where, without]];
    });
    expect(missing).toEqual([]);
    expect(missingLabels('max by (status) (sluice_runs)', ['status', 'instance'], reported)).toEqual(['instance']);
    expect(missingLabels('sluice_subscriptions_open', ['instance', 'role'], reported)).toEqual(['role']);
  });

  test('select the chosen job in every panel, and only the job of Sluice in alerts', () => {
    const notOfJob = targets.filter(({ text }) =>
      selectorsOf(text).some(
        ({ matchers }) => !matchers.some(({ label, operator, value }) => `${label}${operator}${value}` === 'job=$job'),
      ),
    );
    expect(notOfJob.map(({ where }) => where)).toEqual([]);
    const [{ job_name: job } = { job_name: '' }] = scraped;
    for (const { alert, expr } of rules) {
      for (const { metric, matchers } of selectorsOf(expr)) {
        const jobs = matchers.flatMap(({ label, value }) => (label === 'job' ? [value] : []));
        // Metrics with the prefix sluice_ exist only in this job.
        if (jobs.length > 0 || !metric.startsWith('sluice_'))
          expect([alert, metric, jobs]).toEqual([alert, metric, [job]]);
      }
    }
  });

  test('use every variable of the dashboard, define it, and offer values that servers report', () => {
    const used = [...JSON.stringify(panels).matchAll(/\$\{?(\w+)/g)].map(([, name = '']) => name);
    const names = templating.list.map(({ name }) => name);
    expect(new Set(used.filter((name) => !name.startsWith('__')))).toEqual(new Set(names));
    const offered = templating.list.flatMap(({ query }) => (typeof query === 'string' ? [] : [query.query]));
    expect(offered.length).toBeGreaterThan(0);
    for (const query of offered) {
      const { metric = '', label = '' } = /^label_values\((?<metric>\w+), (?<label>\w+)\)$/.exec(query)?.groups ?? {};
      expect([query, problemsOf(metric, reported), missingLabels(metric, [label], reported)]).toEqual([query, [], []]);
    }
  });

  test('show every metric of Sluice in the dashboard', () => {
    const shown = new Set(targets.flatMap(({ text }) => selectorsOf(text).map(({ metric }) => metric)));
    const familyOf = (name: string): string => name.replace(/_(?:bucket|sum|count)$/, '');
    const families = new Set(
      reported.samples.flatMap(({ name }) => (name.startsWith('sluice_') ? [familyOf(name)] : [])),
    );
    expect(families.size).toBeGreaterThan(20);
    const missing = [...families].filter((family) => ![...shown].some((name) => familyOf(name) === family));
    expect(missing).toEqual([]);
  });

  test('have a severity, a summary, a description and a unique name in each rule', () => {
    expect(new Set(rules.map(({ alert }) => alert)).size).toBe(rules.length);
    for (const { alert, labels, annotations } of rules) {
      expect([alert, labels['severity']]).toEqual([alert, expect.stringMatching(/^(?:critical|warning)$/)]);
      expect(annotations).toEqual({ summary: expect.stringMatching(/\S/), description: expect.stringMatching(/\S/) });
    }
  });

  test('have no overlapping panels', () => {
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) => {
      expect(x + w).toBeLessThanOrEqual(24);
      return Array.from({ length: w * h }, (_, index) => `${x + (index % w)} ${y + Math.floor(index / w)}`);
    });
    expect(new Set(cells).size).toBe(cells.length);
  });
});
