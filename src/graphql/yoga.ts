import type { GraphQLSchema } from 'graphql';
import { createYoga, type Plugin } from 'graphql-yoga';
import type { Logger } from 'pino';
import type { Caller } from '../http/callers.ts';
import type { Edge } from '../http/edge.ts';
import type { RequestSignals } from '../lib/lifecycle.ts';
import type { ErrorMapper } from './error-mapping.ts';
import { createDocumentCache } from './plugins/document-cache.ts';
import type { DocumentLimits } from './plugins/document-limits.ts';
import type { PersistedDocuments } from './plugins/persisted-documents.ts';
import { useDocumentLimits } from './plugins/use-document-limits.ts';
import { useEventDeduplication } from './plugins/use-event-deduplication.ts';
import { useFastPath } from './plugins/use-fast-path.ts';
import { useHttpStatus } from './plugins/use-http-status.ts';
import { useLargeBodies } from './plugins/use-large-bodies.ts';
import { useOperationNames } from './plugins/use-operation-names.ts';
import { usePersistedDocuments } from './plugins/use-persisted-documents.ts';
import { useRequestOutcome } from './plugins/use-request-outcome.ts';
import { useValidationRules } from './plugins/use-validation-rules.ts';
import { createContext, type GraphQLContext, type Services } from './schema/context.ts';

export const GRAPHQL_PATH = '/graphql';

export interface YogaOptions {
  readonly schema: GraphQLSchema;
  readonly services: Services;
  readonly log: Logger;
  readonly edge: Edge;
  readonly documentLimits: DocumentLimits;
  readonly introspection: boolean;
}

/** Context that the server passes to yoga with a request. */
interface RequestContext {
  /** Payload of connection_init, which contains the API key over WebSocket. */
  readonly connectionParams?: Readonly<Record<string, unknown>> | undefined;
  /** Over HTTP only. Over WebSocket each operation authenticates again. */
  readonly caller?: Caller | undefined;
  /** Whether the body takes longer than a turn of the event loop should. */
  readonly hasLargeBody?: boolean | undefined;
  /** Aborted if the request exceeds its time limit. */
  readonly signal?: AbortSignal | undefined;
  /** Signals for the same and for a client that disconnects, which end the wait in a queue. */
  readonly ended?: RequestSignals | undefined;
}

export type Yoga = ReturnType<typeof createYogaServer>;

/** Configures yoga with its plugins. They run in the order of the list. */
export function createYogaServer(
  { schema, services, log, edge, documentLimits, introspection }: YogaOptions,
  mapError: ErrorMapper,
  documents: PersistedDocuments,
  sseBypass: Plugin,
) {
  return createYoga<RequestContext, GraphQLContext>({
    schema,
    graphqlEndpoint: GRAPHQL_PATH,
    landingPage: false,
    graphiql: false,
    multipart: false,
    batching: false,
    // The server counts the bytes before yoga sees the body. Counting in yoga halved the throughput.
    maxRequestBodySize: false,
    // The server sends the CORS headers. Yoga answers other origins with "null", which is the origin of sandboxed pages.
    cors: false,
    maskedErrors: { maskError: mapError },
    // mapError logs errors without SQL and values. Yoga would log them unchanged.
    logging: {
      debug: () => undefined,
      info: () => undefined,
      warn: (...parts: unknown[]) => log.warn({ parts: parts.filter((part) => typeof part === 'string') }, 'graphql'),
      error: () => undefined,
    },
    parserAndValidationCache: { documentCache: createDocumentCache(), errorCache: createDocumentCache() },
    // In addition to the parameters of the GraphQL-over-HTTP specification.
    extraParamNames: ['documentId'],
    plugins: [
      useLargeBodies(),
      usePersistedDocuments(documents),
      useDocumentLimits(schema, documentLimits),
      useValidationRules(introspection),
      useOperationNames(),
      useRequestOutcome(),
      useFastPath(),
      useEventDeduplication(),
      sseBypass,
      useHttpStatus(),
    ],
    context: async ({ caller, connectionParams }) =>
      createContext(services, caller ?? (await edge.ofPayload(connectionParams))),
  });
}
