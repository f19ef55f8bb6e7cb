import { groupDigits } from './exact-number.ts';
import { formatDay, formatInstant, formatSpan, formatUtc } from './time-text.ts';

/** An exact figure with thousands separators. The exact string is its machine-readable value. */
export function ExactNumber({ value }: { readonly value: string | number }) {
  return (
    <data className="figure" value={String(value)}>
      {groupDigits(value)}
    </data>
  );
}

/** Time zone of the browser, for times that belong to no job. */
export const BROWSER_ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone;

interface TimeProps {
  readonly value: string;
  /** Time zone of the job. Defaults to that of the browser. */
  readonly zone?: string;
  /** If true, only the date is shown. */
  readonly isDay?: boolean;
}

/** An instant in a time zone with the zone's name; UTC on hover. */
export function Time({ value, zone = BROWSER_ZONE, isDay = false }: TimeProps) {
  return (
    <time dateTime={value} title={formatUtc(value)}>
      {isDay ? formatDay(value, zone) : formatInstant(value, zone)}
    </time>
  );
}

interface TimeSpanProps {
  readonly from: string;
  readonly to: string;
  readonly zone?: string;
}

/** A span of time such as a window; UTC on hover. */
export function TimeSpan({ from, to, zone = BROWSER_ZONE }: TimeSpanProps) {
  return <span title={`${formatUtc(from)} – ${formatUtc(to)}`}>{formatSpan(from, to, zone)}</span>;
}
