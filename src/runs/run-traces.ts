import {
  type Attributes,
  type Context,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
  TraceFlags,
  type Tracer,
} from '@opentelemetry/api';
import { AsyncLocalStorage } from 'node:async_hooks';
import { encodeGlobalId } from '../lib/global-ids.ts';
import { withSpan } from '../lib/spans.ts';
import type { RunRow } from './runs.ts';

// The trace of a run has the uuid of the run as its id, and the second half of that as the id of its root span. Servers that
// work on the same run therefore need not exchange or store anything, and the id of the run is enough to find its trace.

export type TracedRun = Pick<RunRow, 'id' | 'jobId' | 'accountId' | 'trigger' | 'scheduledFor' | 'createdAt'>;

export interface SpanIds {
  readonly traceId: string;
  readonly spanId: string;
}

/** Ids for the root span that is started in this context. The SDK's id generator reads them, because it gets no arguments. */
export const rootSpanIds = new AsyncLocalStorage<SpanIds>();

/** Records that the scheduler queued the runs of slots that were due. */
export function recordQueuedSlots(tracer: Tracer, runs: readonly TracedRun[]): void {
  for (const run of runs) {
    const options = { kind: SpanKind.PRODUCER, startTime: run.scheduledFor, attributes: runAttributes(run) };
    tracer.startSpan('queue slot', options, rootContext(run)).end();
  }
}

/** Runs one attempt, which began at `startTime`, in a span of the run. */
export function traceAttempt<Value>(
  tracer: Tracer,
  run: TracedRun,
  startTime: Date,
  attributes: Attributes,
  work: (span: Span, context: Context) => Promise<Value>,
): Promise<Value> {
  const options = { kind: SpanKind.CONSUMER, startTime, attributes: { ...runAttributes(run), ...attributes } };
  return withSpan(tracer, 'attempt', options, rootContext(run), work);
}

export type EndedStatus = 'SUCCEEDED' | 'FAILED' | 'CANCELED';

/** The slots of these may be years ago. */
const LATE_TRIGGERS: readonly RunRow['trigger'][] = ['MANUAL', 'RESTATEMENT', 'BACKFILL'];

/** Records that the run has ended, in the root span of its trace. */
export function recordRunEnd(tracer: Tracer, run: TracedRun, status: EndedStatus, attributes: Attributes): void {
  const startTime =
    LATE_TRIGGERS.includes(run.trigger) || run.scheduledFor > run.createdAt ? run.createdAt : run.scheduledFor;
  const all = { ...runAttributes(run), 'sluice.run.status': status, ...attributes };
  const root = rootSpanIds.run(spanIds(run), () => tracer.startSpan('run', { root: true, startTime, attributes: all }));
  root.setStatus({ code: status === 'FAILED' ? SpanStatusCode.ERROR : SpanStatusCode.OK });
  root.end();
}

function spanIds({ id }: TracedRun): SpanIds {
  const traceId = id.replaceAll('-', '');
  return { traceId, spanId: traceId.slice(16) };
}

function rootContext(run: TracedRun): Context {
  return trace.setSpanContext(ROOT_CONTEXT, { ...spanIds(run), traceFlags: TraceFlags.SAMPLED, isRemote: true });
}

/** Ids have the form that the API shows. */
function runAttributes(run: TracedRun): Attributes {
  return {
    'sluice.run.id': encodeGlobalId('Run', run.id),
    'sluice.job.id': encodeGlobalId('Job', run.jobId),
    'sluice.account.id': String(run.accountId),
    'sluice.run.trigger': run.trigger,
    'sluice.run.slot': run.scheduledFor.toISOString(),
  };
}
