import { createAuthenticator } from '../accounts/authenticate.ts';
import { createIntakeRate } from '../accounts/intake-rate.ts';
import { bucketWriter } from '../config/config.ts';
import { createScanRequests } from '../deliveries/scan-requests.ts';
import { withMetrics } from '../exports/object-store-metrics.ts';
import { findRegionProblem } from '../exports/regions.ts';
import { createDestinationTests } from '../exports/test-destination.ts';
import type { KeyHasher } from '../streams/key-hashes/key-hasher.ts';
import type { Services } from '../graphql/schema/context.ts';
import { createGraphQLServer } from '../graphql/server.ts';
import { createSchema } from '../graphql/schema/schema.ts';
import { createGraphQLSockets } from '../graphql/websocket.ts';
import type { Console } from '../http/console.ts';
import { createEdge } from '../http/edge.ts';
import { createPublicErrorMapper } from '../http/public-errors.ts';
import { recordOutcome } from '../http/request-context.ts';
import type { RequestMemory } from '../http/request-memory.ts';
import type { SlowRequests } from '../http/slow-requests.ts';
import { createTimeLimit } from '../http/time-limit.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { RestServices } from '../rest/route.ts';
import { createRestServer } from '../rest/server.ts';
import type { RunFeed } from '../runs/run-feed.ts';
import { createIntakeCache } from '../runs/read-overview.ts';
import { createStreamCache } from '../streams/stream-cache.ts';
import type { IntakeBuffer } from '../streams/pipeline/intake-buffer.ts';
import type { StreamQueue } from '../streams/stream-queue.ts';
import type { MergeCandidates } from '../streams/totals/merge-candidates.ts';
import { looksUpFewKeys } from '../streams/key-hashes/key-hash.ts';
import { createGroupCommit } from '../streams/group-commit/group-commit.ts';
import type { AppResources } from './resources.ts';

/** The parts that the API shares with the rest of the app. */
export interface ApiParts {
  readonly feed: RunFeed;
  readonly trusted: ReadonlyMap<string, string>;
  /** Null if it is not served. */
  readonly console: Console | null;
  readonly metrics: Metrics;
  readonly intakeBuffer: IntakeBuffer;
  readonly streamQueue: StreamQueue;
  readonly memory: RequestMemory;
  readonly slowRequests: SlowRequests;
  readonly mergeCandidates: MergeCandidates;
  readonly keyHasher: KeyHasher;
}

/** Everything that serves the requests of clients. */
export function createApi(resources: AppResources, parts: ApiParts) {
  const {
    feed,
    trusted,
    console,
    metrics,
    intakeBuffer,
    streamQueue,
    memory,
    slowRequests,
    mergeCandidates,
    keyHasher,
  } = parts;
  const { config, database, log, clock, queue } = resources;
  const toPublicError = createPublicErrorMapper(log);
  const pace = {
    minBytesPerSecond: config.intakeMinBytesPerSecond,
    measuredMs: config.intakeMeasuredSeconds * 1000,
    maxMs: config.intakeMaxSeconds * 1000,
  };
  const authenticator = createAuthenticator(database.keys, clock, (error) =>
    log.warn({ err: error }, 'the use of a key was not noted'),
  );
  const edge = createEdge({
    authenticator,
    memory,
    maxBodyBytes: config.maxBodyBytes,
    pace,
    maxAnonymous: config.maxAnonymousBodies,
    anonymousMs: config.anonymousSeconds * 1000,
    slowRequests,
  });
  const writer = bucketWriter(config);
  const scanRequests = createScanRequests({
    db: database.acrossAccounts,
    onError: (error) => log.warn({ err: error }, 'a scan of the ledger was not requested; corrections are found later'),
  });
  const services: Services & RestServices = {
    database,
    queue,
    clock,
    // Local mode has a store of its own.
    findRegionProblem: (region) => findRegionProblem(region, config.databaseUrl !== null && config.s3Endpoint === null),
    feed,
    authenticator,
    limits: {
      maxRecords: config.maxRecords,
      maxFutureMs: config.maxFutureHours * 3_600_000,
      maxRows: config.maxUsageRows,
      previewMaxRecords: config.previewMaxRecords,
      previewLockMs: config.previewLockMs,
      maxFilledRows: config.maxFilledRows,
      maxSubscriptions: config.maxSubscriptions,
      maxPage: config.maxPageSize,
      maxBackfillWindows: config.maxBackfillWindows,
    },
    pace,
    intakeRate: createIntakeRate({ recordsPerSecond: config.intakeRecordsPerSecond, burst: config.intakeBurst }),
    streamCache: createStreamCache(),
    intakeCache: createIntakeCache(),
    groupCommit: createGroupCommit({ clock }),
    intakeBuffer,
    streamQueue,
    keyHasher,
    onWritten: (kind, receipt) => {
      metrics.written(kind, receipt);
      scanRequests.onWritten(kind, receipt);
      if (receipt.replayed) return;
      mergeCandidates.countOperation(receipt.stream.accountId, receipt.stream.id);
      if (looksUpFewKeys(receipt.operation)) keyHasher.enqueue(receipt.stream);
    },
    onStreamDeleted: scanRequests.request,
    canMail: resources.mail !== null,
    writer,
    destinationTests: createDestinationTests({
      acrossAccounts: database.acrossAccounts,
      store: withMetrics(resources.store, metrics.objectPut),
      writer,
      clock,
      log,
    }),
  };
  const withinTime = createTimeLimit({
    limitMs: config.requestTimeoutMs,
    onExceeded: () => log.warn('a request ran into REQUEST_TIMEOUT_MS'),
  });
  const graphql = createGraphQLServer({
    schema: createSchema({ rules: services, onUserError: () => recordOutcome('refused') }),
    services,
    log,
    toPublicError,
    edge,
    withinTime,
    documentLimits: {
      maxTokens: config.maxDocumentTokens,
      maxDepth: config.maxDocumentDepth,
      maxFields: config.maxDocumentFields,
      maxAliases: config.maxDocumentAliases,
      maxCost: config.maxDocumentCost,
      maxPage: config.maxPageSize,
    },
    documents: {
      trusted,
      trustedOnly: config.trustedDocumentsOnly,
      isOfConsole: (text) => console?.sends(text) ?? false,
      keptBytes: config.persistedDocumentBytes,
    },
    graphiql: config.graphiql,
    introspection: config.introspection,
  });
  const sockets = createGraphQLSockets({
    graphql,
    services,
    edge,
    log,
    maxMessageBytes: config.maxBodyBytes,
    withinTime,
    maxOperations: config.maxSocketOperations,
    onEnded: metrics.requestEnded,
  });
  return { graphql, sockets, rest: createRestServer({ services, edge, toPublicError, withinTime, docs: config.docs }) };
}
