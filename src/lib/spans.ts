import { type Context, type Span, type SpanOptions, SpanStatusCode, trace, type Tracer } from '@opentelemetry/api';
import { scrubError } from './scrub-error.ts';

/**
 * Runs `work` in a span below `parent`. The span ends with the work, with status ERROR if the work throws.
 * The parameters are those of Tracer.startActiveSpan; no context manager is needed.
 */
export async function withSpan<Value>(
  tracer: Tracer,
  name: string,
  options: SpanOptions,
  parent: Context,
  work: (span: Span, context: Context) => Promise<Value>,
): Promise<Value> {
  const span = tracer.startSpan(name, options, parent);
  try {
    return await work(span, trace.setSpan(parent, span));
  } catch (error) {
    const { type, message } = scrubError(error);
    span.setStatus({ code: SpanStatusCode.ERROR, message });
    span.setAttribute('error.type', type);
    throw error;
  } finally {
    span.end();
  }
}
