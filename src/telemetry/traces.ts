import {
  type Attributes,
  type Context,
  type Span as OtelSpan,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  TraceFlags,
  type Tracer,
} from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { detectResources, envDetector, resourceFromAttributes, serviceNameEnvDetector } from '@opentelemetry/resources';
import { BatchSpanProcessor, RandomIdGenerator, type SpanExporter, TracerProvider } from '@opentelemetry/sdk-trace';
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import packageJson from '../../package.json' with { type: 'json' };
import { encodeId } from '../db/public-ids.ts';
import { scrubError } from '../lib/scrub-error.ts';
import type { RunTraces, Span, SpanAttributes, TracedRun } from '../lib/spans.ts';

// Loaded only where traces are asked for: these packages take as long to load as everything else of a command.

export interface OtlpOptions {
  /** Where to, e.g. http://localhost:4318/v1/traces. */
  readonly url: string;
  readonly role: string;
  /** Told of what could not be sent; it is lost, and nothing waits for it. */
  readonly onError: (error: unknown) => void;
}

/** A collector that is away holds up the end of the process for no longer. */
const CLOSE_MS = 3000;

/**
 * The trace of a run has the run's own uuid as its id, and its root span the second half of that. So servers that share a run
 * need to tell each other nothing, nothing is stored, and who knows the run finds the trace.
 */
const traceIdOf = (runId: string): string => runId.replaceAll('-', '');
const rootIdOf = (runId: string): string => traceIdOf(runId).slice(16);

/** Sends spans over OTLP as JSON. Headers, time limits and attributes of the resource are read from OTEL_* by the SDK. */
export const openOtlpTraces = ({ url, role, onError }: OtlpOptions): RunTraces => {
  const random = new RandomIdGenerator();
  /** Of the root span that is being made; spans are made without a pause in between. */
  let ids: { readonly traceId: string; readonly spanId: string } | null = null;
  const exporter = new OTLPTraceExporter({ url });
  const provider = new TracerProvider({
    resource: resourceFromAttributes({
      'service.name': 'sluice',
      'service.version': packageJson.version,
      'service.instance.id': randomUUID(),
      'sluice.role': role,
    }).merge(detectResources({ detectors: [envDetector, serviceNameEnvDetector] })),
    idGenerator: {
      generateTraceId: () => ids?.traceId ?? random.generateTraceId(),
      generateSpanId: () => ids?.spanId ?? random.generateSpanId(),
    },
    spanProcessors: [new BatchSpanProcessor({ exporter: telling(exporter, onError) })],
  });
  const tracer = provider.getTracer('sluice', packageJson.version);

  const contextOf = ({ id }: TracedRun): Context =>
    trace.setSpanContext(ROOT_CONTEXT, {
      traceId: traceIdOf(id),
      spanId: rootIdOf(id),
      traceFlags: TraceFlags.SAMPLED,
      isRemote: true,
    });

  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    const waiting = new AbortController();
    const late = sleep(CLOSE_MS, undefined, { signal: waiting.signal }).catch(() => undefined);
    await Promise.race([provider.shutdown().catch(onError), late]);
    waiting.abort();
  };

  return {
    queued: (runs) => {
      for (const run of runs) {
        tracer
          .startSpan(
            'queue slot',
            { kind: SpanKind.PRODUCER, startTime: run.scheduledFor, attributes: attributesOf(run) },
            contextOf(run),
          )
          .end();
      }
    },
    attempt: (run, from, attributes, work) =>
      within(
        tracer,
        tracer.startSpan(
          'attempt',
          { kind: SpanKind.CONSUMER, startTime: from, attributes: { ...attributesOf(run), ...attributes } },
          contextOf(run),
        ),
        work,
      ),
    ended: (run, status, attributes) => {
      ids = { traceId: traceIdOf(run.id), spanId: rootIdOf(run.id) };
      // A run that somebody asked for may be for a slot of last year.
      const startTime = run.trigger === 'MANUAL' || run.scheduledFor > run.createdAt ? run.createdAt : run.scheduledFor;
      const root = tracer.startSpan('run', {
        root: true,
        startTime,
        attributes: { ...attributesOf(run), 'sluice.run.status': status, ...attributes },
      });
      ids = null;
      root.setStatus({ code: status === 'FAILED' ? SpanStatusCode.ERROR : SpanStatusCode.OK });
      root.end();
    },
    traceIdOf,
    close: () => (closing ??= close()),
  };
};

/** Ids as the API shows them. */
const attributesOf = (run: TracedRun): Attributes => ({
  'sluice.run.id': encodeId('Run', run.id),
  'sluice.job.id': encodeId('Job', run.jobId),
  'sluice.account.id': String(run.accountId),
  'sluice.run.trigger': run.trigger,
  'sluice.run.slot': run.scheduledFor.toISOString(),
});

const within = async <Value>(tracer: Tracer, span: OtelSpan, work: (span: Span) => Promise<Value>): Promise<Value> => {
  const context = trace.setSpan(ROOT_CONTEXT, span);
  try {
    return await work({
      child: (name, attributes, part) =>
        within(tracer, tracer.startSpan(name, { attributes: { ...attributes } }, context), part),
      past: (name, attributes, from) =>
        tracer.startSpan(name, { startTime: from, attributes: { ...attributes } }, context).end(),
      note: (attributes: SpanAttributes) => void span.setAttributes({ ...attributes }),
      fail: (words) => void span.setStatus({ code: SpanStatusCode.ERROR, message: words }),
    });
  } catch (error) {
    const { type, message } = scrubError(error);
    span.setStatus({ code: SpanStatusCode.ERROR, message });
    span.setAttribute('error.type', type);
    throw error;
  } finally {
    span.end();
  }
};

/** The SDK itself keeps silent about what it could not send. */
const telling = (exporter: OTLPTraceExporter, onError: OtlpOptions['onError']): SpanExporter => ({
  export: (spans, done) =>
    exporter.export(spans, (result) => {
      if (result.error) onError(result.error);
      done(result);
    }),
  forceFlush: () => exporter.forceFlush(),
  shutdown: () => exporter.shutdown(),
});
