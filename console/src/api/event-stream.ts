import { type ClientOptions, createClient, type RequestParams, type Sink } from 'graphql-sse';
import { forget, setInterrupted, setOpen } from './connection.ts';

/** Waits before an event stream is opened again: from 0.5 s, doubled each time, up to 10 s, with jitter. */
function waitBefore(attempt: number): Promise<void> {
  return new Promise((resolve) =>
    setTimeout(resolve, Math.min(10_000, 500 * 2 ** attempt) * (0.75 + Math.random() / 2)),
  );
}

interface EventResult {
  readonly errors?: readonly { readonly extensions?: Readonly<Record<string, unknown>> | undefined }[] | undefined;
}

function hasCode(result: EventResult, code: string): boolean {
  return result.errors?.some(({ extensions }) => extensions?.['code'] === code) ?? false;
}

/**
 * Subscribes over server-sent events, and opens the stream again when it is lost: servers restart, laptops sleep. Returns a function that
 * ends it.
 *
 * While the page is hidden, the stream is closed: over HTTP/1.1, browsers open six connections to a server for all tabs, so the streams
 * of six hidden tabs would block every other request.
 */
export function openEventStream(
  { url, headers }: Pick<ClientOptions, 'url' | 'headers'>,
  request: RequestParams,
  sink: Sink,
): () => void {
  const stream = {};
  /** Ends the connection, or the wait for the next one. Null while the page is hidden. */
  let disconnect: (() => void) | null = null;
  const end = (): void => {
    document.removeEventListener('visibilitychange', follow);
    disconnect?.();
    disconnect = null;
    forget(stream);
  };
  const connect = (attempt: number): (() => void) => {
    let isOver = false;
    let endNext = (): void => {};
    const client = createClient({
      url,
      ...(headers && { headers }),
      retryAttempts: Infinity,
      retry: (failures) => {
        if (!isOver) setInterrupted(stream, 'LOST');
        return waitBefore(failures);
      },
      on: {
        connected: () => {
          if (!isOver) setOpen(stream);
        },
      },
    });
    let isServerStopping = false;
    const stop = client.subscribe(request, {
      next: (result) => {
        // A server that shuts down sends UNAVAILABLE and completes the stream. Another server takes over.
        isServerStopping = hasCode(result, 'UNAVAILABLE');
        if (!isOver && !isServerStopping) sink.next(result);
      },
      error: (error) => {
        if (isOver) return;
        end();
        sink.error(error);
      },
      complete: () => {
        if (isOver) return;
        if (!isServerStopping) {
          end();
          sink.complete();
          return;
        }
        setInterrupted(stream, 'LOST');
        void waitBefore(attempt).then(() => {
          if (!isOver) endNext = connect(attempt + 1);
        });
      },
    });
    return () => {
      isOver = true;
      stop();
      endNext();
    };
  };
  function follow(): void {
    if (document.visibilityState === 'visible') {
      disconnect ??= connect(0);
    } else {
      disconnect?.();
      disconnect = null;
      setInterrupted(stream, 'PAUSED');
    }
  }
  document.addEventListener('visibilitychange', follow);
  follow();
  return end;
}
