import type { Duplex } from 'node:stream';
import { MIN_OPERATIONS } from '../background/totals-merger.ts';
import { GRAPHQL_PATH } from '../graphql/yoga.ts';
import { readTrustedDocuments } from '../graphql/plugins/trusted-documents.ts';
import { createConsole } from '../http/console.ts';
import { maySocketOpen } from '../http/cors.ts';
import { createDraining } from '../http/draining.ts';
import { createHttpServer, toOriginForm } from '../http/http-server.ts';
import { createRequestMemory } from '../http/request-memory.ts';
import { createSlowRequests } from '../http/slow-requests.ts';
import type { ActiveRequest } from '../http/request-context.ts';
import { createTaskTracker, type Stoppable } from '../lib/lifecycle.ts';
import { listen } from '../lib/listen.ts';
import { pathOf, withoutSlash } from '../http/paths.ts';
import { createMetrics } from '../telemetry/metrics.ts';
import { createRouter } from './router.ts';
import { readDeliveryFigures } from '../runs/delivery-figures.ts';
import { readDeploymentFigures } from '../runs/deployment-figures.ts';
import { startRunFeed } from '../runs/run-feed.ts';
import { createIntakeBuffer } from '../streams/pipeline/intake-buffer.ts';
import { createStreamQueue } from '../streams/stream-queue.ts';
import { createMergeCandidates } from '../streams/totals/merge-candidates.ts';
import { createApi } from './api.ts';
import { startBackground, startKeyHasher, startMerger } from './background.ts';
import type { AppResources } from './resources.ts';

export interface App {
  /** Base URL, for example http://127.0.0.1:4000. */
  readonly url: string;
  /** Takes nothing new, lets running exports end or hands them over, then closes what is left. May be called twice. */
  stop(): Promise<void>;
}

/** Time limit of the queries that a scrape of the metrics sends to the database. */
const FIGURES_MS = 2000;
/** The same for the figures about deliveries, which are read once a minute. */
const DELIVERY_FIGURES_MS = 20_000;
const RESYNC_MS = 5000;
/** How long a stopping server leaves connections without a request open, for requests that are on their way. */
const IDLE_MS = 5000;
/** Requests have at least 2 seconds to complete, even if SHUTDOWN_GRACE_SECONDS is 0 and exports are handed over immediately. */
const MIN_GRACE_MS = 2000;
/** About 10 MB of memory. */
const MAX_COUNTED_STREAMS = 100_000;

/**
 * The only wiring: from resources to a server that listens and, by role, works in the background.
 * Errors: TrustedDocumentsError, ListenError.
 */
export async function startApp(resources: AppResources): Promise<App> {
  const { config, database, log } = resources;
  const trusted = config.trustedDocuments === null ? new Map() : await readTrustedDocuments(config.trustedDocuments);
  const console = config.console ? createConsole({ graphiql: config.graphiql, docs: config.docs }) : null;
  // An open page sends its documents to a server that was restarted and has not served the console yet.
  if (config.trustedDocumentsOnly && config.role !== 'worker') await console?.load();
  const feed = startRunFeed({
    db: database.acrossAccounts,
    dbOf: (accountId) => database.forAccount(accountId),
    url: database.directUrl,
    applicationName: 'sluice-feed',
    resyncMs: RESYNC_MS,
    onInterrupted: (error) => log.warn({ err: error }, 'run feed interrupted; reconnecting'),
    onResumed: () => log.info('run feed reconnected; missed changes were read'),
    onError: (error) => log.warn({ err: error }, 'run feed could not read a change; retrying'),
  });
  const intakeBuffer = createIntakeBuffer(config.intakeHeldBytes);
  const streamQueue = createStreamQueue({ waitMs: config.streamWaitMs, onBusy: () => metrics.streamBusy() });
  const memory = createRequestMemory(config.requestMemory);
  const slowRequests = createSlowRequests(config.anonymousSeconds * 1000);
  const mergeCandidates = createMergeCandidates({ minOperations: MIN_OPERATIONS, maxCounted: MAX_COUNTED_STREAMS });
  const keyHasher = startKeyHasher(resources, streamQueue);
  const metrics = createMetrics({
    role: config.role,
    pool: database.pool,
    poolSize: config.databasePool,
    waitingForShare: () => database.waitingForShare,
    openSubscriptions: () => feed.size,
    heldBytes: () => intakeBuffer.bytes,
    waitingForStream: () => streamQueue.waiting,
    requestBytes: () => memory.bytes,
    repairedLedgers: () => resources.repairs.count,
    readDeployment: (endedSince) => readDeploymentFigures(database.acrossAccounts, { endedSince, limitMs: FIGURES_MS }),
    readDeliveries: (endedSince) =>
      readDeliveryFigures(database.acrossAccounts, { endedSince, limitMs: DELIVERY_FIGURES_MS }),
  });
  let background: readonly Stoppable[] = [];
  const parts = {
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
  };
  const api = config.role === 'worker' ? null : createApi(resources, parts);
  const handle = createRouter({
    database,
    registry: metrics.registry,
    corsOrigins: config.corsOrigins,
    docs: config.docs,
    graphiql: config.graphiql,
    console,
    api,
  });
  const tasks = createTaskTracker();
  const onEnded = (ended: ActiveRequest): void => {
    metrics.requestEnded(ended);
    if (ended.api === null || !log.isLevelEnabled('debug')) return;
    const { api, operation, outcome, begunAt } = ended;
    log.debug({ api, operation, outcome, seconds: (performance.now() - begunAt) / 1000 }, 'request answered');
  };
  const server = createHttpServer({
    headersMs: config.headersSeconds * 1000,
    keepAliveMs: config.keepAliveSeconds * 1000,
    handle,
    tasks,
    onEnded,
    log,
  });
  server.on('upgrade', (request, socket, head) => {
    // After 'upgrade', node:http has removed its error listener. Without one, ECONNRESET would end the process.
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
    const graceMs = Math.max(config.graceSeconds * 1000, MIN_GRACE_MS);
    const endSubscriptions = async (): Promise<void> => {
      // Subscriptions have no end of their own, so the drain would wait for their connections. Sockets first: a client whose
      // socket closes with "going away" reconnects, a client that receives an error or a completion does not.
      await api?.sockets.close(graceMs);
      await feed.stop();
    };
    await Promise.all([
      draining.drain({ idleMs: resources.idleMs ?? IDLE_MS, graceMs }),
      endSubscriptions(),
      ...background.map((part) => part.stop()),
    ]);
    // Requests whose clients have gone still run. Their statements must end before the database is closed.
    await tasks.settled(2000);
  };
  try {
    // Before the background parts, so that no run starts if the port is in use.
    const url = await listen(server, config.host, config.port);
    if (api) background = [startMerger(resources, mergeCandidates), keyHasher];
    if (config.role !== 'api') background = [...background, ...(await startBackground(resources, metrics))];
    return { url, stop: () => (stopped ??= stop()) };
  } catch (error) {
    await stop();
    throw error;
  }
}

function refuseUpgrade(socket: Duplex, status: string): void {
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
}
