import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Logger } from 'pino';
import type { TaskTracker } from '../lib/lifecycle.ts';
import { requestTarget } from './paths.ts';
import { continueWhenRead } from './request-body.ts';
import { runInRequestContext, recordOutcome, chooseRequestId, type ActiveRequest } from './request-context.ts';

export interface HttpServerOptions {
  readonly headersMs: number;
  readonly keepAliveMs: number;
  readonly handle: (request: IncomingMessage, response: ServerResponse) => Promise<void>;
  readonly tasks: TaskTracker;
  /** Called with the context of each request when it has ended. */
  readonly onEnded: (request: ActiveRequest) => void;
  readonly log: Logger;
}

/** How often Node looks for connections that exceeded headersMs. */
const TIMEOUT_CHECK_MS = 1000;

/** Creates the HTTP server. Each request gets an id, and a response even if its handler fails. */
export function createHttpServer({ headersMs, keepAliveMs, handle, tasks, onEnded, log }: HttpServerOptions): Server {
  // An NDJSON body may take longer than Node allows. Its reader limits the rate instead.
  const timeouts = {
    requestTimeout: 0,
    connectionsCheckingInterval: TIMEOUT_CHECK_MS,
    headersTimeout: headersMs,
    keepAliveTimeout: keepAliveMs,
  };
  const server = createServer(timeouts, (request, response) => {
    toOriginForm(request);
    const id = chooseRequestId(request.headers['x-request-id']);
    response.setHeader('x-request-id', id);
    const answer = async (): Promise<void> => {
      try {
        await handle(request, response);
      } catch (error) {
        // The client has gone, which ended the work for its response. This is not an error.
        if (response.destroyed) return;
        log.error({ err: error }, 'a request could not be answered');
        if (!response.headersSent) response.writeHead(500);
        response.end();
      }
      if (response.statusCode >= 400) recordOutcome(response.statusCode >= 500 ? 'failed' : 'refused');
    };
    tasks.add(runInRequestContext(id, answer, onEnded));
  });
  // Without this listener, Node requests the body (100 Continue) before the handler knows whether it will be read.
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    continueWhenRead(request, response);
    server.emit('request', request, response);
  });
  return server;
}

/** For upgrades too, which bypass the listener of requests. */
export function toOriginForm(request: IncomingMessage): void {
  const { url, host } = requestTarget(request.url ?? '/');
  request.url = url;
  if (host !== null) request.headers.host = host;
}
