import { parser } from '@prometheus-io/lezer-promql';
import type { Sample } from '../support/scrape.ts';

// Expressions of Prometheus, and what is wrong with them on servers that tell these samples.

export interface Matcher {
  readonly label: string;
  readonly operator: '=' | '!=' | '=~' | '!~';
  readonly value: string;
}

export interface Selector {
  readonly metric: string;
  readonly matchers: readonly Matcher[];
  /** The aggregation closest around it, such as `max`, and the labels that it leaves; null where there is none. */
  readonly aggregation: { readonly operator: string; readonly by: readonly string[] } | null;
}

/** Throws where it is no PromQL. */
export const selectorsOf = (expression: string): readonly Selector[] => {
  // What Grafana fills in where the language has no place for a variable.
  const text = expression.replaceAll('$__rate_interval', '5m');
  const selectors: Selector[] = [];
  const cut = (node: { from: number; to: number } | null | undefined): string =>
    node ? text.slice(node.from, node.to) : '';
  parser.parse(text).iterate({
    enter: ({ type, node, from }) => {
      if (type.isError) throw new Error(`No PromQL at ${from}: ${text.slice(from, from + 20)}`);
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

/** What Prometheus adds itself. */
const ITS_OWN_METRICS = new Set(['up']);
const ITS_OWN_LABELS = new Set(['instance', 'job']);

/** What servers tell. */
export interface Told {
  readonly samples: readonly Sample[];
  /** Metrics of which each server tells what is true of all of them. */
  readonly ofAllServers: ReadonlySet<string>;
}

const labelsOf = ({ samples }: Told, metric: string): Set<string> =>
  new Set(samples.filter(({ name }) => name === metric).flatMap(({ labels }) => Object.keys(labels)));

/** What is wrong with an expression, in words. */
export const problemsOf = (expression: string, told: Told): string[] =>
  selectorsOf(expression).flatMap(({ metric, matchers, aggregation }) => {
    if (ITS_OWN_METRICS.has(metric)) return [];
    const samples = told.samples.filter(({ name }) => name === metric);
    const problems = samples.length === 0 ? [`no server tells ${metric}`] : [];
    for (const { label, operator, value } of matchers) {
      if (ITS_OWN_LABELS.has(label)) continue;
      const values = [...new Set(samples.flatMap(({ labels }) => labels[label] ?? []))];
      // What is left out has to be there as well. Of `a|b` each has.
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
      if (!ITS_OWN_LABELS.has(label) && !labelsOf(told, metric).has(label))
        problems.push(`${metric} has no label ${label}`);
    if (told.ofAllServers.has(metric) && aggregation?.operator !== 'max')
      problems.push(`${metric} is of all servers: max() of it, not ${aggregation?.operator ?? 'each'}`);
    return problems;
  });

/** The labels that a legend or a text names of what an expression answers, and that it does not have. */
export const missingLabels = (expression: string, named: readonly string[], told: Told): string[] => {
  const kept = selectorsOf(expression).map(({ metric, aggregation }) =>
    aggregation ? new Set(aggregation.by) : new Set([...ITS_OWN_LABELS, ...labelsOf(told, metric)]),
  );
  return named.filter((label) => kept.length === 0 || kept.some((labels) => !labels.has(label)));
};
