import type { Tracer } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { detectResources, envDetector, resourceFromAttributes, serviceNameEnvDetector } from '@opentelemetry/resources';
import { BatchSpanProcessor, RandomIdGenerator, type SpanExporter, TracerProvider } from '@opentelemetry/sdk-trace';
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import packageJson from '../../package.json' with { type: 'json' };
import { rootSpanIds } from '../runs/run-traces.ts';

// Imported only if a collector is configured: the packages of the SDK take as long to load as everything else of a command.

export interface OtlpOptions {
  /** Address of the collector, e.g. http://localhost:4318/v1/traces. */
  readonly url: string;
  readonly role: string;
  /** Called with the error of each request to the collector that failed. Its spans are lost. */
  readonly onError: (error: unknown) => void;
}

export interface OpenTracer {
  readonly tracer: Tracer;
  /** Sends the remaining spans; takes at most 3 seconds. May be called twice. */
  close(): Promise<void>;
}

/** A collector that does not respond delays the end of the process by at most this long. */
const CLOSE_MS = 3000;

/** Sends spans over OTLP as JSON. The SDK reads headers, time limits and resource attributes from OTEL_*. */
export function openTracer({ url, role, onError }: OtlpOptions): OpenTracer {
  const random = new RandomIdGenerator();
  const provider = new TracerProvider({
    resource: resourceFromAttributes({
      'service.name': 'sluice',
      'service.version': packageJson.version,
      'service.instance.id': randomUUID(),
      'sluice.role': role,
    }).merge(detectResources({ detectors: [envDetector, serviceNameEnvDetector] })),
    idGenerator: {
      generateTraceId: () => rootSpanIds.getStore()?.traceId ?? random.generateTraceId(),
      generateSpanId: () => rootSpanIds.getStore()?.spanId ?? random.generateSpanId(),
    },
    spanProcessors: [new BatchSpanProcessor({ exporter: reportErrors(new OTLPTraceExporter({ url }), onError) })],
  });

  async function shutDown(): Promise<void> {
    const waiting = new AbortController();
    const late = sleep(CLOSE_MS, undefined, { signal: waiting.signal }).catch(() => undefined);
    await Promise.race([provider.shutdown().catch(onError), late]);
    waiting.abort();
  }

  let closing: Promise<void> | undefined;
  return {
    tracer: provider.getTracer('sluice', packageJson.version),
    close: () => (closing ??= shutDown()),
  };
}

/** The SDK does not report what it could not send. */
function reportErrors(exporter: OTLPTraceExporter, onError: OtlpOptions['onError']): SpanExporter {
  return {
    export: (spans, done) =>
      exporter.export(spans, (result) => {
        if (result.error) onError(result.error);
        done(result);
      }),
    forceFlush: () => exporter.forceFlush(),
    shutdown: () => exporter.shutdown(),
  };
}
