import type { Duplex } from 'node:stream';
import type { PgBoss } from 'pg-boss';
import type { Logger } from 'pino';
import { createAccountNames } from './accounts/accounts.ts';
import { createAuthenticator } from './accounts/authenticate.ts';
import { createIntakeRate } from './accounts/intake-rate.ts';
import { startMailer } from './background/mailer.ts';
import { startReaper } from './background/reaper.ts';
import { startRunWorker } from './background/run-worker.ts';
import { startScheduler } from './background/scheduler.ts';
import { startStagingSweeper } from './background/staging-sweeper.ts';
import { LEAST_OPERATIONS, startTotalsMerger, startTotalsSweep } from './background/totals-merger.ts';
import type { Config } from './config.ts';
import type { Database } from './db/client.ts';
import { isUnavailable } from './db/failures.ts';
import { UNKNOWN_PRINCIPAL } from './exports/bucket-policy.ts';
import { createKeptConnections } from './exports/kept-connections.ts';
import { measuredStore } from './exports/measured-store.ts';
import { createMemoryBudget } from './exports/memory-budget.ts';
import type { ObjectStore } from './exports/object-store.ts';
import { createReadReplica } from './exports/read-replica.ts';
import type { Services } from './graphql/context.ts';
import { createGraphQLServer, GRAPHQL_PATH } from './graphql/server.ts';
import { createSchema } from './graphql/schema.ts';
import { readTrustedDocuments } from './graphql/trusted-documents.ts';
import { createGraphQLSockets } from './graphql/websocket.ts';
import { maySocketOpen } from './http/cors.ts';
import { createDraining } from './http/draining.ts';
import { createEdge } from './http/edge.ts';
import { createFailureTeller } from './http/failures.ts';
import { createHttpServer, toOriginForm } from './http/http-server.ts';
import { createRequestMemory, type RequestMemory } from './http/request-memory.ts';
import { createSlowRequests, type SlowRequests } from './http/slow-requests.ts';
import type { RequestUnderWay } from './http/requests-under-way.ts';
import type { Clock } from './lib/clock.ts';
import { createUnderWay, type Stoppable } from './lib/lifecycle.ts';
import { listen } from './lib/listen.ts';
import { pathOf, withoutSlash } from './http/paths.ts';
import type { RunTraces } from './lib/spans.ts';
import { createTimeLimit } from './http/time-limit.ts';
import { createMetrics, type Metrics } from './metrics.ts';
import type { Mail } from './notify/mail.ts';
import type { RestServices } from './rest/route.ts';
import { createRestServer } from './rest/server.ts';
import { createRouter } from './router.ts';
import { readDeploymentFigures } from './runs/deployment-figures.ts';
import { type RunFeed, startRunFeed } from './runs/run-feed.ts';
import { createKnownStreams } from './streams/known-streams.ts';
import { createHeldBatches, type HeldBatches } from './streams/held-batches.ts';
import { createStreamQueue, type StreamQueue } from './streams/stream-queue.ts';
import { createWrittenStreams, type WrittenStreams } from './streams/written-streams.ts';
import { createSumBatches } from './streams/sum-batches.ts';

/** What an app works with; opened and closed by whoever makes it. */
export interface AppResources {
  readonly config: Config;
  readonly database: Database;
  readonly queue: PgBoss;
  readonly store: ObjectStore;
  readonly mail: Mail | null;
  readonly log: Logger;
  readonly clock: Clock;
  readonly traces: RunTraces;
  /** How long connections without a request stay open when the server stops. Defaults to 5 seconds. */
  readonly idleMs?: number;
}

export interface App {
  /** Where it answers, e.g. http://127.0.0.1:4000. */
  readonly url: string;
  /** Takes nothing new, lets running exports end or hands them over, then closes what is left. May be called twice. */
  stop(): Promise<void>;
}

/** A scrape of the metrics may keep the database at work for so long. */
const FIGURES_MS = 2000;
const ATTEMPT_OUTCOMES = { SUCCEED: 'succeeded', FAIL: 'failed', RETRY: 'retried', STOPPED: 'stopped' } as const;
const RUN_STATUSES = { SUCCEED: 'SUCCEEDED', FAIL: 'FAILED' } as const;
const SCHEDULE_MS = 1000;
const REAP_MS = 2000;
const RESYNC_MS = 5000;
/** A database that is away is told so often by each part, and not at every attempt. */
const TELL_AGAIN_MS = 30_000;
/** How long a stopping server leaves connections without a request open, for requests that are on their way. */
const IDLE_MS = 5000;
/** Requests have a moment to be answered even where exports are handed over at once. */
const LEAST_GRACE_MS = 2000;
const SWEEP_MS = 300_000;
const MERGE_MS = 15_000;
/** About 10 MB of memory. */
const MAX_COUNTED_STREAMS = 100_000;
/** Longer than any request can still be at work on what it staged. */
const SWEEP_MARGIN_MS = 900_000;

/**
 * The only wiring: from resources to a server that listens and, by role, works in the background.
 * Errors: TrustedDocumentsError, ListenError.
 */
export const startApp = async (resources: AppResources): Promise<App> => {
  const { config, database, log } = resources;
  const trusted = config.trustedDocuments === null ? new Map() : await readTrustedDocuments(config.trustedDocuments);
  const feed = startRunFeed({
    db: database.acrossAccounts,
    dbOf: (accountId) => database.forAccount(accountId),
    url: database.directUrl,
    applicationName: 'sluice-feed',
    resyncMs: RESYNC_MS,
    onInterrupted: (error) => log.warn({ err: error }, 'the feed of runs is interrupted; it goes on by itself'),
    onResumed: () => log.info('the feed of runs goes on; what it missed was read'),
    onError: (error) => log.warn({ err: error }, 'the feed of runs could not read a change; it reads it again'),
  });
  const held = createHeldBatches(config.intakeHeldBytes);
  const streamQueue = createStreamQueue({ waitMs: config.streamWaitMs, onBusy: () => metrics.streamBusy() });
  const memory = createRequestMemory(config.requestMemory);
  const slowRequests = createSlowRequests(config.anonymousSeconds * 1000);
  const written = createWrittenStreams({ leastOperations: LEAST_OPERATIONS, maxCounted: MAX_COUNTED_STREAMS });
  const metrics = createMetrics({
    role: config.role,
    pool: database.pool,
    poolSize: config.databasePool,
    waitingForShare: () => database.waitingForShare,
    openSubscriptions: () => feed.size,
    heldBytes: () => held.bytes,
    waitingForStream: () => streamQueue.waiting,
    requestBytes: () => memory.bytes,
    readDeployment: (endedSince) => readDeploymentFigures(database.acrossAccounts, { endedSince, limitMs: FIGURES_MS }),
  });
  let background: readonly Stoppable[] = [];
  const parts = { feed, trusted, metrics, held, streamQueue, memory, slowRequests, written };
  const api = config.role === 'worker' ? null : createApi(resources, parts);
  const handle = createRouter({
    database,
    registry: metrics.registry,
    corsOrigins: config.corsOrigins,
    docs: config.docs,
    graphiql: config.graphiql,
    api,
  });
  const underWay = createUnderWay();
  const onEnded = (ended: RequestUnderWay): void => {
    metrics.requestEnded(ended);
    if (ended.api === null || !log.isLevelEnabled('debug')) return;
    const { api, operation, outcome, begunAt } = ended;
    log.debug({ api, operation, outcome, seconds: (performance.now() - begunAt) / 1000 }, 'request answered');
  };
  const server = createHttpServer({
    headersMs: config.headersSeconds * 1000,
    keepAliveMs: config.keepAliveSeconds * 1000,
    handle,
    underWay,
    onEnded,
    log,
  });
  server.on('upgrade', (request, socket, head) => {
    // node:http has let go of it: a reset before anybody listens again would end the process.
    socket.on('error', () => undefined);
    toOriginForm(request);
    const { origin, host } = request.headers;
    if (!api || withoutSlash(pathOf(request)) !== GRAPHQL_PATH) refuseUpgrade(socket, '404 Not Found');
    else if (!maySocketOpen(config.corsOrigins, origin, host)) refuseUpgrade(socket, '403 Forbidden');
    else api.sockets.handleUpgrade(request, socket, head);
  });
  const draining = createDraining(server);
  slowRequests.watch(server);
  let stopped: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    const graceMs = Math.max(config.graceSeconds * 1000, LEAST_GRACE_MS);
    const endSubscriptions = async (): Promise<void> => {
      // They never end by themselves, and the end of their connections would be waited for in vain. Sockets first: a client
      // whose socket closes with "going away" connects again, one that is told of an error or an end does not.
      await api?.sockets.close(graceMs);
      await feed.stop();
    };
    await Promise.all([
      draining.drain({ idleMs: resources.idleMs ?? IDLE_MS, graceMs }),
      endSubscriptions(),
      ...background.map((part) => part.stop()),
    ]);
    // A request whose client has gone is worked on all the same; its statements come before the end of the database.
    await underWay.settled(2000);
  };
  try {
    // Before the background parts, so that no run is begun where the port is taken.
    const url = await listen(server, config.host, config.port);
    if (api)
      background = [
        startTotalsMerger({
          db: database.acrossAccounts,
          written,
          everyMs: MERGE_MS,
          onError: failureTeller(log, 'merger of totals'),
        }),
      ];
    if (config.role !== 'api') background = [...background, ...(await startBackground(resources, metrics))];
    return { url, stop: () => (stopped ??= stop()) };
  } catch (error) {
    await stop();
    throw error;
  }
};

const refuseUpgrade = (socket: Duplex, status: string): void => {
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
};

interface ApiParts {
  readonly feed: RunFeed;
  readonly trusted: ReadonlyMap<string, string>;
  readonly metrics: Metrics;
  readonly held: HeldBatches;
  readonly streamQueue: StreamQueue;
  readonly memory: RequestMemory;
  readonly slowRequests: SlowRequests;
  readonly written: WrittenStreams;
}

const createApi = (resources: AppResources, parts: ApiParts) => {
  const { feed, trusted, metrics, held, streamQueue, memory, slowRequests, written } = parts;
  const { config, database, log, clock, queue } = resources;
  const tell = createFailureTeller(log);
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
  const services: Services & RestServices = {
    database,
    queue,
    clock,
    feed,
    authenticator,
    limits: {
      maxRecords: config.maxRecords,
      maxFutureMs: config.maxFutureHours * 3_600_000,
      maxRows: config.maxUsageRows,
      maxFilledRows: config.maxFilledRows,
      maxSubscriptions: config.maxSubscriptions,
      maxPage: config.maxPageSize,
    },
    pace,
    intakeRate: createIntakeRate({ recordsPerSecond: config.intakeRecordsPerSecond, burst: config.intakeBurst }),
    known: createKnownStreams(),
    batches: createSumBatches(),
    held,
    streamQueue,
    onWritten: (kind, receipt) => {
      metrics.written(kind, receipt);
      if (!receipt.replayed) written.note(receipt.stream.accountId, receipt.stream.id);
    },
    canMail: resources.mail !== null,
    principalArn: config.principalArn,
  };
  const withinTime = createTimeLimit({
    limitMs: config.requestTimeoutMs,
    onExceeded: () => log.warn('a request ran into REQUEST_TIMEOUT_MS'),
  });
  const graphql = createGraphQLServer({
    schema: createSchema(),
    services,
    log,
    tell,
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
    documents: { trusted, trustedOnly: config.trustedDocumentsOnly, keptBytes: config.persistedDocumentBytes },
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
  return { graphql, sockets, rest: createRestServer({ services, edge, tell, withinTime, docs: config.docs }) };
};

/** While the database is away each attempt of a part fails in the same way, so it is logged now and then. */
const failureTeller = (log: AppResources['log'], part: string): ((error: unknown) => void) => {
  let toldAt = -Infinity;
  return (error) => {
    const now = performance.now();
    if (isUnavailable(error) && now - toldAt < TELL_AGAIN_MS) return;
    toldAt = now;
    log.error({ err: error }, `the ${part} failed; it tries again`);
  };
};

const startBackground = async (resources: AppResources, metrics: Metrics): Promise<Stoppable[]> => {
  const { config, database, queue, log, traces } = resources;
  const onError = (part: string) => failureTeller(log, part);
  const db = database.acrossAccounts;
  const accountName = createAccountNames(db);
  const connections = createKeptConnections();
  const toReplica = createKeptConnections();
  const replica =
    config.databaseReadUrl === null
      ? null
      : createReadReplica({
          url: config.databaseReadUrl,
          isPooled: database.isPooled,
          waitMs: config.databaseReadWaitMs,
          connections: toReplica,
          onLeftOut: (error) =>
            log.warn({ err: error }, 'exports read from DATABASE_URL for a minute: the replica is away or behind'),
        });
  return [
    connections,
    toReplica,
    startScheduler({
      db: database.schedule,
      queue,
      traces,
      everyMs: SCHEDULE_MS,
      maxCatchUp: config.maxCatchUp,
      onError: onError('scheduler'),
    }),
    startReaper({
      db: database.schedule,
      queue,
      everyMs: REAP_MS,
      onFailed: (seconds) => metrics.runEnded('FAILED', seconds),
      onError: onError('reaper'),
    }),
    startStagingSweeper({
      db,
      everyMs: SWEEP_MS,
      olderThanMs: 2 * config.intakeMaxSeconds * 1000 + SWEEP_MARGIN_MS,
      onError: onError('sweeper of staged records'),
    }),
    startTotalsSweep({ db, everyMs: MERGE_MS, onError: onError('sweep of totals') }),
    await startMailer({
      db,
      queue,
      mail: resources.mail,
      maxCatchUp: config.maxCatchUp,
      log,
      accountName,
      onTried: metrics.mailSent,
    }),
    await startRunWorker({
      exports: {
        database,
        connections,
        replica,
        store: measuredStore(resources.store, metrics.objectPut),
        memory: createMemoryBudget(config.exportMemory),
        limits: { partBytes: config.partBytes, maxFilledRows: config.maxFilledRows },
      },
      queue,
      log,
      traces,
      accountName,
      principalArn: config.principalArn ?? UNKNOWN_PRINCIPAL,
      concurrency: config.exportConcurrency,
      leaseMs: config.leaseSeconds * 1000,
      heartbeatMs: config.heartbeatMs,
      graceMs: config.graceSeconds * 1000,
      onEnded: (end, seconds, progress) => {
        metrics.attemptEnded(ATTEMPT_OUTCOMES[end?.event ?? 'STOPPED'], seconds, progress);
        if (end && end.event !== 'RETRY') metrics.runEnded(RUN_STATUSES[end.event], end.runSeconds);
      },
    }),
  ];
};
