import { useEffect, useState } from 'react';
import { BROWSER_ZONE } from './figures.tsx';
import { formatDistance, formatInstant, formatUtc } from './time-text.ts';

const MINUTE_MS = 60_000;

/** How long ago something happened; the time, and UTC, on hover. */
export function Ago({ value }: { readonly value: string | null }) {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), MINUTE_MS);
    return () => clearInterval(timer);
  }, []);
  if (value === null) return 'Never';
  return (
    <time dateTime={value} title={`${formatInstant(value, BROWSER_ZONE)}, ${formatUtc(value)}`}>
      {formatDistance(value, now)}
    </time>
  );
}
