import { parser } from '@prometheus-io/lezer-promql';
import type { Sample } from '../support/scrape.ts';

// Parses PromQL expressions and finds their problems for servers with given samples.

export interface Matcher {
  readonly label: string;
  readonly operator: '=' | '!=' | '=~' | '!~';
  readonly value: string;
}

export interface Selector {
  readonly metric: string;
  readonly matchers: readonly Matcher[];
  /** The innermost aggregation around the selector, such as `max`, and the labels that it keeps; null if there is none. */
  readonly aggregation: { readonly operator: string; readonly by: readonly string[] } | null;
}

/** Returns the selectors of an expression. Throws if it is not valid PromQL. */
export const selectorsOf = (expression: string): readonly Selector[] => {
  // Grafana replaces this variable before it sends the expression, because PromQL has no variables.
  const text = expression.replaceAll('$__rate_interval', '5m');
  const selectors: Selector[] = [];
  const cut = (node: { from: number; to: number } | null | undefined): string =>
    node ? text.slice(node.from, node.to) : '';
  parser.parse(text).iterate({
    enter: ({ type, node, from }) => {
      if (type.isError) throw new Error(`Invalid PromQL at ${from}: ${text.slice(from, from + 20)}`);
      if (type.name !== 'VectorSelector') return;
      let around = node.parent;
      while (around && around.name !== 'AggregateExpr') around = around.parent;
      const labels = around?.getChild('AggregateModifier')?.getChild('GroupingLabels')?.getChildren('LabelName') ?? [];
      selectors.push({
        metric: cut(node.getChild('Identifier')),
        matchers: (node.getChild('LabelMatchers')?.getChildren('UnquotedLabelMatcher') ?? []).map((matcher) => ({
          label: cut(matcher.getChild('LabelName')),
          operator: cut(matcher.getChild('MatchOp')) as Matcher['operator'],
          value: cut(matcher.getChild('StringLiteral')).slice(1, -1),
        })),
        aggregation: around ? { operator: cut(around.getChild('AggregateOp')), by: labels.map(cut) } : null,
      });
    },
  });
  return selectors;
};

/** Metrics and labels that Prometheus adds itself. */
const ITS_OWN_METRICS = new Set(['up']);
const ITS_OWN_LABELS = new Set(['instance', 'job']);

/** Metrics that servers report. */
export interface ReportedMetrics {
  readonly samples: readonly Sample[];
  /** Metrics about the whole deployment, which every server reports with the same value. */
  readonly ofAllServers: ReadonlySet<string>;
}

const labelsOf = ({ samples }: ReportedMetrics, metric: string): Set<string> =>
  new Set(samples.filter(({ name }) => name === metric).flatMap(({ labels }) => Object.keys(labels)));

/** Returns the problems of an expression as texts. */
export const problemsOf = (expression: string, reported: ReportedMetrics): string[] =>
  selectorsOf(expression).flatMap(({ metric, matchers, aggregation }) => {
    if (ITS_OWN_METRICS.has(metric)) return [];
    const samples = reported.samples.filter(({ name }) => name === metric);
    const problems = samples.length === 0 ? [`no server reports ${metric}`] : [];
    for (const { label, operator, value } of matchers) {
      if (ITS_OWN_LABELS.has(label)) continue;
      const values = [...new Set(samples.flatMap(({ labels }) => labels[label] ?? []))];
      // Excluded values have to exist as well, and so does each alternative of `a|b`.
      const wanted = operator.endsWith('~') ? value.split('|').map((one) => new RegExp(`^(?:${one})$`)) : [value];
      if (values.length === 0) problems.push(`${metric} has no label ${label}`);
      else {
        for (const one of wanted) {
          const isSeen = typeof one === 'string' ? values.includes(one) : values.some((seen) => one.test(seen));
          if (!isSeen) problems.push(`${label} of ${metric} is never ${typeof one === 'string' ? one : one.source}`);
        }
      }
    }
    for (const label of aggregation?.by ?? [])
      if (!ITS_OWN_LABELS.has(label) && !labelsOf(reported, metric).has(label))
        problems.push(`${metric} has no label ${label}`);
    if (reported.ofAllServers.has(metric) && aggregation?.operator !== 'max')
      problems.push(`${metric} is about all servers: use max(), not ${aggregation?.operator ?? 'each'}`);
    return problems;
  });

/** Returns the labels that a legend or text names and the result of the expression does not have. */
export const missingLabels = (expression: string, named: readonly string[], reported: ReportedMetrics): string[] => {
  const kept = selectorsOf(expression).map(({ metric, aggregation }) =>
    aggregation ? new Set(aggregation.by) : new Set([...ITS_OWN_LABELS, ...labelsOf(reported, metric)]),
  );
  return named.filter((label) => kept.length === 0 || kept.some((labels) => !labels.has(label)));
};
