import { Button, Checkbox, Group, NativeSelect, Stack, Text, TextInput } from '@mantine/core';
import { lazy, Suspense, useEffect, useMemo, useState } from 'react';
import { useQuery } from 'urql';
import { findProblem } from '../../api/problem.ts';
import { downloadText } from '../../ui/download.ts';
import { BROWSER_ZONE } from '../../ui/figures.tsx';
import { type Address, useAddress } from '../../ui/list-address.ts';
import { Section } from '../../ui/page.tsx';
import { Empty, Loaded, Loading, ProblemAlert } from '../../ui/states.tsx';

import {
  type Filter,
  formatFilter,
  listBuckets,
  listGroupings,
  listRanges,
  RANGE_NAMES,
  readSelection,
  type Selection,
  type StreamSpan,
  toUsageInput,
} from './selection.ts';
import { useStream } from './stream-page.tsx';
import { READ_USAGE } from './streams-documents.ts';
import { formatUsageCsv } from './usage-csv.ts';
import { UsageLegend } from './usage-legend.tsx';
import { buildUsage, removeOthers, type UsageModel } from './usage-model.ts';
import { UsageTable } from './usage-table.tsx';

const UsageChart = lazy(async () => ({ default: (await import('./usage-chart.tsx')).UsageChart }));

/** Usage of a stream over time, as a chart and as exact figures. */
export function UsageView() {
  const stream = useStream();
  const { firstTimestamp, lastTimestamp } = stream;
  if (firstTimestamp === null || lastTimestamp === null) {
    return (
      <Empty title="This stream has no live records">
        All of its records were hidden, or none were sent. The ledger shows the operations.
      </Empty>
    );
  }
  return <Usage name={stream.name} span={{ ...stream, firstTimestamp, lastTimestamp }} />;
}

interface UsageProps {
  readonly name: string;
  readonly span: StreamSpan;
}

function Usage({ name, span }: UsageProps) {
  const { parameters, change } = useAddress();
  const selection = readSelection(parameters, span, BROWSER_ZONE);
  const input = toUsageInput(name, selection);
  const query = useQuery({ query: READ_USAGE, variables: { input } });
  const [{ operation, fetching, data }] = query;
  const isFirst = fetching && !data;
  const sum = useSumMeanwhile(name, selection, isFirst);
  // While other usage is read, the page shows that of the selection before.
  const shown = operation?.variables.input ?? input;
  return (
    <Stack gap="lg">
      <Controls span={span} selection={selection} change={change} />
      {isFirst && sum ? (
        <Stack gap="lg" aria-busy>
          <Text role="status" c="dimmed">
            The sum of all groups. The largest groups are being computed.
          </Text>
          <Figures
            name={name}
            series={sum.series}
            window={sum}
            selection={{ ...selection, groupBy: null }}
            change={change}
          />
        </Stack>
      ) : (
        <Loaded query={query} what="usage">
          {({ usage }) =>
            usage.__typename === 'Usage' ? (
              <Stack gap="lg" opacity={fetching ? 0.5 : 1} aria-busy={fetching}>
                <Figures
                  name={name}
                  series={usage.series}
                  window={usage}
                  selection={{
                    ...selection,
                    bucket: shown.aggregationBucket,
                    zone: shown.timeZone ?? 'UTC',
                    groupBy: shown.groupBy?.[0] ?? null,
                  }}
                  isEarlier={fetching}
                  change={change}
                />
              </Stack>
            ) : (
              <ProblemAlert problem={findProblem({ data: { usage } })} />
            )
          }
        </Loaded>
      )}
    </Stack>
  );
}

/** Small streams are shown with their groups before this time. */
const LATE_MS = 200;

/**
 * Returns the sum of all groups if their ranking takes long: it reads the totals of operations and takes milliseconds, while the
 * ranking reads all records. With filters it would read them too.
 */
function useSumMeanwhile(name: string, selection: Selection, isWaiting: boolean) {
  const [isLate, setIsLate] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setIsLate(true), LATE_MS);
    return () => clearTimeout(timer);
  }, []);
  const isWanted = isWaiting && isLate && selection.groupBy !== null && selection.filters.length === 0;
  const input = toUsageInput(name, { ...selection, groupBy: null });
  const [{ data, fetching }] = useQuery({ query: READ_USAGE, variables: { input }, pause: !isWanted });
  // While it is fetched, the data is that of the selection before.
  return !fetching && data?.usage.__typename === 'Usage' ? data.usage : null;
}

const BUCKET_NAMES = { HOUR: 'Hour', DAY: 'Day', WEEK: 'Week', MONTH: 'Month' } as const;

interface ControlsProps {
  readonly span: StreamSpan;
  readonly selection: Selection;
  readonly change: Address['change'];
}

function Controls({ span, selection, change }: ControlsProps) {
  const { from, through, range, bucket, groupBy, zone, filters } = selection;
  const zones = [...new Set([zone, BROWSER_ZONE, 'UTC'])];
  return (
    <Stack gap="xs">
      <Group align="flex-end" gap="sm" className="usage-controls">
        <NativeSelect
          label="Range"
          value={range ?? 'dates'}
          onChange={({ currentTarget: { value } }) =>
            change(value === 'dates' ? { range: null, from, through } : { range: value, from: null, through: null })
          }
          data={[
            ...listRanges(span.granularity).map((value) => ({ value, label: RANGE_NAMES[value] ?? value })),
            { value: 'dates', label: 'Dates' },
          ]}
        />
        <DateField
          label="From"
          value={from}
          onPick={(date) => change({ range: null, from: date, through: latest(date, through) })}
        />
        <DateField
          label="Through"
          value={through}
          onPick={(date) => change({ range: null, from: date < from ? date : from, through: date })}
        />
        <NativeSelect
          label="Bucket"
          value={bucket}
          onChange={({ currentTarget: { value } }) => change({ bucket: value })}
          data={listBuckets(span.granularity).map((value) => ({ value, label: BUCKET_NAMES[value] }))}
        />
        <NativeSelect
          label="Group by"
          value={groupBy ?? 'none'}
          onChange={({ currentTarget: { value } }) => change({ by: value })}
          data={[...listGroupings(span), { value: 'none', label: 'Nothing: the sum' }]}
        />
        {span.granularity === 'HOURLY' && (
          <NativeSelect
            label="Time zone"
            value={zone}
            onChange={({ currentTarget: { value } }) => change({ zone: value })}
            data={zones}
          />
        )}
      </Group>
      {filters.length > 0 && (
        <Group gap="xs">
          {filters.map((filter) => (
            <Checkbox
              key={formatFilter(filter)}
              checked
              label={`Only ${filter.dimension} ${filter.value}`}
              onChange={() => change({ only: filters.filter((other) => other !== filter).map(formatFilter) })}
            />
          ))}
        </Group>
      )}
    </Stack>
  );
}

function latest(a: string, b: string): string {
  return a > b ? a : b;
}

interface DateFieldProps {
  readonly label: string;
  readonly value: string;
  readonly onPick: (date: string) => void;
}

/** A date that is applied when it is complete, so that a year can be typed digit by digit. */
function DateField({ label, value, onPick }: DateFieldProps) {
  const [draft, setDraft] = useState<string | null>(null);
  const apply = (): void => {
    if (draft !== null && draft !== '' && draft !== value) onPick(draft);
    setDraft(null);
  };
  return (
    <TextInput
      type="date"
      label={label}
      value={draft ?? value}
      max="9998-12-31"
      onChange={({ currentTarget }) => setDraft(currentTarget.value)}
      onBlur={apply}
      onKeyDown={({ key }) => key === 'Enter' && apply()}
    />
  );
}

interface FiguresProps {
  readonly name: string;
  readonly series: Parameters<typeof buildUsage>[0];
  readonly window: { readonly from: string; readonly to: string };
  readonly selection: Selection;
  /** Whether the figures are those of an earlier selection. */
  readonly isEarlier?: boolean;
  readonly change: Address['change'];
}

function Figures({ name, series, window, selection, isEarlier = false, change }: FiguresProps) {
  const usage: UsageModel = useMemo(() => buildUsage(series), [series]);
  const [focused, setFocused] = useState<number | null>(null);
  const { from, through, groupBy, filters, areOthersHidden } = selection;
  const charted = useMemo(() => (areOthersHidden ? removeOthers(usage) : usage), [usage, areOthersHidden]);
  if (usage.rows.length === 0) {
    return (
      <Empty
        title="No records in this range"
        action={
          <Button variant="default" onClick={() => change({ range: 'all', from: null, through: null, only: null })}>
            Show all buckets
          </Button>
        }
      >
        The stream has records outside of it{filters.length > 0 && ', or for other values'}.
      </Empty>
    );
  }
  const showOnly = (filter: Filter): void => {
    setFocused(null);
    change({ only: [...filters.filter(({ dimension }) => dimension !== filter.dimension), filter].map(formatFilter) });
  };
  return (
    <>
      <div className="usage">
        <Suspense fallback={<Loading what="the chart" />}>
          <UsageChart usage={charted} window={window} selection={selection} focused={focused} />
        </Suspense>
        <div className="scrolling" role="region" aria-label="Totals by group" tabIndex={0}>
          <UsageLegend
            usage={usage}
            groupBy={groupBy}
            filters={filters}
            areOthersHidden={areOthersHidden}
            onFocus={setFocused}
            onShowOnly={showOnly}
            onToggleOthers={() => change({ others: areOthersHidden ? null : 'hidden' })}
          />
        </div>
      </div>
      <Section
        title="Figures"
        actions={
          <Button
            variant="default"
            disabled={isEarlier}
            onClick={() => downloadText(`${name}_${from}_${through}.csv`, 'text/csv', formatUsageCsv(usage))}
          >
            Download as CSV
          </Button>
        }
      >
        <UsageTable usage={usage} selection={selection} />
      </Section>
    </>
  );
}
