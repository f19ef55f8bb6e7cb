import { Button, Group, Text } from '@mantine/core';
import { useMemo } from 'react';
import { useSearchParams } from 'react-router';
import { useQuery } from 'urql';
import { Section } from '../../ui/page.tsx';
import { Loaded, Loading } from '../../ui/states.tsx';
import {
  addWindowsAhead,
  COVERAGE_WORDS,
  type Coverage,
  type CoverageState,
  findDay,
  findOwedFrom,
  findParts,
  type Part,
} from './coverage-days.ts';
import { CoverageCalendar, SIGNS } from './coverage-calendar.tsx';
import { BackfillLink, SpanOfState } from './coverage-span.tsx';
import { CoverageDay } from './coverage-day.tsx';
import { type Job, READ_COVERAGE } from './job-documents.ts';
import { useNow, useReadAgain } from './use-live-runs.ts';
import { addMonths, dateOf, startOfDay } from '../../ui/zone-dates.ts';
import { formatMonth, isMonth, listWeeks } from './months.ts';

interface JobProps {
  readonly job: Job;
}

/** The calendar of what the S3 bucket has for a job. Month and day are in the address. */
export function CoverageSection({ job }: JobProps) {
  const [parameters, setParameters] = useSearchParams();
  const zone = job.timeZone;
  const today = dateOf(useNow(60_000), zone);
  const given = parameters.get('month');
  const month = isMonth(given) ? given : today.slice(0, 7);
  const day = parameters.get('day');
  const set = (changes: Readonly<Record<string, string | null>>): void =>
    setParameters(
      (before) => {
        const next = new URLSearchParams(before);
        for (const [name, value] of Object.entries(changes)) {
          if (value === null) next.delete(name);
          else next.set(name, value);
        }
        return next;
      },
      { preventScrollReset: true },
    );
  const [from, to] = boundsOf(month, zone);
  const query = useQuery({
    query: READ_COVERAGE,
    variables: { id: job.id, from: new Date(from).toISOString(), to: new Date(to).toISOString() },
  });
  useReadAgain(query[1]);
  const show = (next: string): void => set({ month: next, day: null });
  return (
    <Section
      title="Coverage"
      actions={
        <Group gap="xs">
          <Button variant="default" onClick={() => show(addMonths(month, -1))} aria-label="Previous month">
            ‹
          </Button>
          <Text fw={600} miw={130} ta="center" aria-live="polite">
            {formatMonth(month)}
          </Text>
          <Button
            variant="default"
            onClick={() => show(addMonths(month, 1))}
            disabled={month >= today.slice(0, 7)}
            aria-label="Next month"
          >
            ›
          </Button>
        </Group>
      }
    >
      <Loaded query={query} what="the coverage">
        {({ job: found }) => {
          const coverage = found?.coverage;
          // While another month is read, the data is still that of the month before.
          if (!coverage || Date.parse(coverage.from) !== from) return <Loading what="the coverage" />;
          return (
            <MonthCoverage
              job={job}
              coverage={addWindowsAhead(
                coverage,
                found.deliveries.edges.map(({ node }) => node),
              )}
              month={month}
              today={today}
              selected={day !== null && listWeeks(month).flat().includes(day) ? day : null}
              onSelect={(date) => set({ day: date })}
            />
          );
        }}
      </Loaded>
    </Section>
  );
}

interface MonthProps extends JobProps {
  readonly coverage: Coverage;
  readonly month: string;
  readonly today: string;
  readonly selected: string | null;
  readonly onSelect: (date: string | null) => void;
}

function MonthCoverage({ job, coverage, month, today, selected, onSelect }: MonthProps) {
  const zone = job.timeZone;
  const owedFrom = useMemo(() => findOwedFrom(job), [job]);
  const weeks = useMemo(() => listWeeks(month), [month]);
  const days = useMemo(
    () =>
      new Map(
        weeks
          .flat()
          .filter((date) => date !== null)
          .map((date) => [date, findDay(coverage, date, zone, owedFrom)]),
      ),
    [weeks, coverage, zone, owedFrom],
  );
  const shown = new Set([...days.values()].flatMap(({ parts }) => parts.map(({ state }) => state)));
  const selectedDay = selected === null ? undefined : days.get(selected);
  return (
    <>
      <CoverageCalendar
        label={`Coverage of ${formatMonth(month)}`}
        weeks={weeks}
        days={days}
        today={today}
        selected={selected}
        onSelect={(date) => onSelect(date === selected ? null : date)}
      />
      <Legend states={(Object.keys(COVERAGE_WORDS) as CoverageState[]).filter((state) => shown.has(state))} />
      {selectedDay ? (
        <CoverageDay job={job} day={selectedDay} onClose={() => onSelect(null)} />
      ) : (
        <Findings job={job} parts={findParts(coverage, ...boundsOf(month, zone), owedFrom)} />
      )}
    </>
  );
}

function boundsOf(month: string, zone: string): [number, number] {
  return [startOfDay(`${month}-01`, zone), startOfDay(`${addMonths(month, 1)}-01`, zone)];
}

function Legend({ states }: { readonly states: readonly CoverageState[] }) {
  return (
    <ul className="legend" aria-label="States">
      {states.map((state) => (
        <li key={state}>
          <span className="swatch" data-state={state} aria-hidden="true">
            {SIGNS[state]}
          </span>
          <span>
            {COVERAGE_WORDS[state].text}: <span className="dimmed">{COVERAGE_WORDS[state].meaning}</span>
          </span>
        </li>
      ))}
    </ul>
  );
}

/** Findings shown before the rest is counted. */
const SHOWN_FINDINGS = 8;

/** The missing and stale spans of the month, with a link that backfills each. */
function Findings({ job, parts }: JobProps & { readonly parts: readonly Part[] }) {
  const found = parts.filter(({ state }) => state === 'missing' || state === 'stale');
  if (found.length === 0) return null;
  return (
    <ul className="findings" aria-label="Missing and stale spans">
      {found.slice(0, SHOWN_FINDINGS).map((part) => (
        <li key={part.from}>
          <SpanOfState part={part} zone={job.timeZone} />
          <BackfillLink job={job} part={part} />
        </li>
      ))}
      {found.length > SHOWN_FINDINGS && <li>{found.length - SHOWN_FINDINGS} more spans in this month</li>}
    </ul>
  );
}
