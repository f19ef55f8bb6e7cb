import { Badge } from '@mantine/core';
import type { ReactNode } from 'react';

export type Tone = 'good' | 'bad' | 'active' | 'waiting' | 'neutral';

const COLOURS: Readonly<Record<Tone, string>> = {
  good: 'green',
  bad: 'red',
  active: 'accent',
  waiting: 'orange',
  neutral: 'gray',
};
/** Shapes, so that states differ without colour too. */
const SIGNS: Readonly<Record<Tone, string>> = { good: '✓', bad: '✕', active: '▸', waiting: '◷', neutral: '–' };

/** A state as text, with a sign and a colour. */
export function Status({ tone, children }: { readonly tone: Tone; readonly children: ReactNode }) {
  return (
    <Badge className="status" data-tone={tone} color={COLOURS[tone]} variant="light" size="lg" tt="none" fw={500}>
      <span aria-hidden="true">{SIGNS[tone]} </span>
      {children}
    </Badge>
  );
}

const RUN_STATUS: Readonly<Record<string, readonly [Tone, string]>> = {
  QUEUED: ['waiting', 'Queued'],
  RUNNING: ['active', 'Running'],
  SUCCEEDED: ['good', 'Succeeded'],
  FAILED: ['bad', 'Failed'],
  CANCELED: ['neutral', 'Canceled'],
};

/** The status of a run. */
export function RunStatus({ status }: { readonly status: string }) {
  const [tone, text] = RUN_STATUS[status] ?? ['neutral', status];
  return <Status tone={tone}>{text}</Status>;
}

const DELIVERY_STATE: Readonly<Record<string, readonly [Tone, string]>> = {
  CURRENT: ['good', 'Delivered'],
  TOUCHED: ['waiting', 'Touched'],
  STALE: ['bad', 'Stale'],
  MISSING: ['bad', 'Missing'],
  RETIRED: ['neutral', 'Retired'],
  SUPERSEDED: ['neutral', 'Superseded'],
};

/** The state of a delivery. */
export function DeliveryStatus({ state }: { readonly state: string }) {
  const [tone, text] = DELIVERY_STATE[state] ?? ['neutral', state];
  return <Status tone={tone}>{text}</Status>;
}
