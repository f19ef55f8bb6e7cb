import { type KeyboardEvent, useRef } from 'react';
import type { CoveredDay, CoverageState } from './coverage-days.ts';
import { formatMonth } from './months.ts';

const WEEKDAYS = ['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday'];

/** Days by which the arrow keys move. */
const MOVES: Readonly<Record<string, number>> = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -7, ArrowDown: 7 };

/** Shown instead of the words where a day is narrow. The legend explains them. */
export const SIGNS: Readonly<Record<CoverageState, string>> = {
  delivered: '✓',
  stale: '◷',
  missing: '✕',
  undelivered: '–',
  notDue: '·',
};

interface CalendarProps {
  readonly label: string;
  readonly weeks: readonly (readonly (string | null)[])[];
  readonly days: ReadonlyMap<string, CoveredDay>;
  readonly today: string;
  readonly selected: string | null;
  readonly onSelect: (date: string) => void;
}

/** A month by weeks. Each day names its state in words, and has a pattern of its own. One day is in the tab order; arrow keys move. */
export function CoverageCalendar({ label, weeks, days, today, selected, onSelect }: CalendarProps) {
  const table = useRef<HTMLTableElement>(null);
  const dates = [...days.keys()];
  const entry = selected ?? (days.has(today) ? today : dates[0]);
  const move = (event: KeyboardEvent, date: string): void => {
    const step = MOVES[event.key];
    const index = dates.indexOf(date);
    const next =
      event.key === 'Home'
        ? dates[0]
        : event.key === 'End'
          ? dates.at(-1)
          : step === undefined
            ? undefined
            : dates[index + step];
    if (next === undefined) return;
    event.preventDefault();
    table.current?.querySelector<HTMLButtonElement>(`[data-date="${next}"]`)?.focus();
  };
  return (
    <table className="calendar" aria-label={label} ref={table}>
      <thead>
        <tr>
          {WEEKDAYS.map((weekday) => (
            <th key={weekday} scope="col">
              <abbr title={weekday}>{weekday.slice(0, 3)}</abbr>
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {weeks.map((week, index) => (
          <tr key={week.find((date) => date !== null) ?? index}>
            {week.map((date, weekday) => {
              const day = date === null ? undefined : days.get(date);
              return (
                <td key={WEEKDAYS[weekday]}>
                  {day && (
                    <button
                      type="button"
                      className="day"
                      data-date={day.date}
                      data-state={day.state}
                      aria-pressed={day.date === selected}
                      aria-current={day.date === today ? 'date' : undefined}
                      tabIndex={day.date === entry ? 0 : -1}
                      onKeyDown={(event) => move(event, day.date)}
                      onClick={() => onSelect(day.date)}
                    >
                      <span className="day-number">
                        {Number(day.date.slice(8))}
                        <span className="hidden"> {formatMonth(day.date.slice(0, 7))}: </span>
                      </span>
                      <span className="day-text">
                        <span className="day-sign" aria-hidden="true">
                          {SIGNS[day.state]}{' '}
                        </span>
                        <span className="day-words">{day.text}</span>
                      </span>
                    </button>
                  )}
                </td>
              );
            })}
          </tr>
        ))}
      </tbody>
    </table>
  );
}
