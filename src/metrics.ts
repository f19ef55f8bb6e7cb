import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import packageJson from '../package.json' with { type: 'json' };
import type { RequestApi, RequestOutcome, RequestUnderWay } from './http/requests-under-way.ts';
import { createSharedReading } from './lib/shared-reading.ts';
import type { DeploymentFigures } from './runs/deployment-figures.ts';
import type { Receipt, WriteKind } from './streams/write.ts';

export interface MetricsSources {
  readonly role: string;
  readonly poolSize: number;
  readonly pool: {
    readonly totalCount: number;
    readonly idleCount: number;
    readonly waitingCount: number;
  };
  /** Requests that wait because their account uses its share of the pool. */
  readonly waitingForShare: () => number;
  readonly openSubscriptions: () => number;
  readonly heldBytes: () => number;
  /** Writes that wait for other writes of this server to the same stream. */
  readonly waitingForStream: () => number;
  readonly requestBytes: () => number;
  /** Of all servers together, with the runs that ended since a moment. */
  readonly readDeployment: (endedSince: string | null) => Promise<DeploymentFigures>;
}

/** How the attempt of a run ended for its worker: retried is a failure after which it is tried again. */
export type AttemptOutcome = 'succeeded' | 'failed' | 'retried' | 'stopped';

export interface Metrics {
  readonly registry: Registry;
  readonly requestEnded: (request: RequestUnderWay) => void;
  readonly written: (kind: WriteKind, receipt: Pick<Receipt, 'operation' | 'replayed'>) => void;
  readonly streamBusy: () => void;
  readonly attemptEnded: (outcome: AttemptOutcome, seconds: number, progress: { rows: number; bytes: number }) => void;
  readonly runEnded: (status: 'SUCCEEDED' | 'FAILED', seconds: number) => void;
  readonly objectPut: (outcome: 'ok' | 'failed', seconds: number) => void;
  readonly mailSent: (outcome: 'sent' | 'deferred' | 'refused') => void;
}

/** Scrapes within so long of one another share what was read from the database. */
const FRESH_MS = 2000;
/** A scrape waits so long for the database, and tells the rest without it. */
const DATABASE_MS = 2000;

const APIS: readonly RequestApi[] = ['graphql', 'rest'];
const OUTCOMES: readonly RequestOutcome[] = ['ok', 'refused', 'failed'];

const OF_ALL_SERVERS = 'Of the whole deployment, and the same on every server: take max(), not sum().';
const COUNTED_BY_EACH =
  'Of the whole deployment, counted by each server from its own first scrape on: only what it grows by agrees, so take max() of increase(), not sum().';

/** What /metrics tells. Made for each app, so that two in one process (tests) do not share counters. */
export const createMetrics = (sources: MetricsSources): Metrics => {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  // Gauges with the suffix of counters; nodejs_active_handles, _requests and _resources have the same figures by type.
  for (const kind of ['handles', 'requests', 'resources']) registry.removeSingleMetric(`nodejs_active_${kind}_total`);
  const registers = [registry];
  new Gauge({
    name: 'sluice_build_info',
    help: 'Always 1; its labels say what runs here.',
    labelNames: ['version', 'role', 'node'],
    registers,
  }).set({ version: packageJson.version, role: sources.role, node: process.version }, 1);
  addPool(registers, sources);
  addDeployment(registers, sources);
  return { registry, ...addRequests(registers), ...addRuns(registers) };
};

type Registers = Registry[];

const addPool = (registers: Registers, sources: MetricsSources): void => {
  const { pool, poolSize, waitingForShare, openSubscriptions, heldBytes, waitingForStream, requestBytes } = sources;
  const gauge = (name: string, help: string, read: () => number): void => {
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read());
      },
    });
  };
  gauge('sluice_database_pool_size', 'Connections that the pool may open (DATABASE_POOL).', () => poolSize);
  gauge(
    'sluice_database_pool_in_use',
    'Connections of the pool that requests use.',
    () => pool.totalCount - pool.idleCount,
  );
  gauge('sluice_database_pool_idle', 'Connections of the pool that are open and free.', () => pool.idleCount);
  gauge('sluice_database_pool_waiting', 'Requests that wait for a connection.', () => pool.waitingCount);
  gauge(
    'sluice_database_share_waiting',
    'Requests that wait because their account uses all connections that one account may use (ACCOUNT_POOL_SHARE).',
    waitingForShare,
  );
  gauge('sluice_subscriptions_open', 'Open subscriptions on this server.', openSubscriptions);
  gauge(
    'sluice_intake_held_bytes',
    'Records that wait in memory for the end of their request (INTAKE_HELD_BYTES).',
    heldBytes,
  );
  gauge(
    'sluice_stream_writes_waiting',
    'Writes that wait for other writes of this server to the same stream; they hold no connection.',
    waitingForStream,
  );
  gauge(
    'sluice_request_memory_bytes',
    'Request bodies and WebSocket messages that are held in memory (REQUEST_MEMORY).',
    requestBytes,
  );
};

const addDeployment = (registers: Registers, { readDeployment }: MetricsSources): void => {
  const ended = new Counter({
    name: 'sluice_runs_ended_total',
    help: `Runs that ended, by status; of those CANCELED the reason is MISSED, SUPERSEDED or request. Counted while somebody scrapes, 10 seconds late. ${COUNTED_BY_EACH}`,
    labelNames: ['status', 'reason'],
    registers,
    collect: async () => {
      await figures();
    },
  });
  for (const status of ['SUCCEEDED', 'FAILED']) ended.inc({ status, reason: '' }, 0);
  for (const reason of ['request', 'MISSED', 'SUPERSEDED']) ended.inc({ status: 'CANCELED', reason }, 0);
  let endedSince: string | null = null;
  const figures = createSharedReading({
    read: async () => {
      const read = await readDeployment(endedSince);
      endedSince = read.endedUntil;
      for (const { status, reason, runs } of read.ended) {
        ended.inc({ status, reason: reason ?? (status === 'CANCELED' ? 'request' : '') }, runs);
      }
      return read;
    },
    freshMs: FRESH_MS,
    waitMs: DATABASE_MS,
  });
  // Without an answer of the database they are absent, and not 0, which would be good news.
  new Gauge({
    name: 'sluice_database_up',
    help: `Whether the database answered within ${DATABASE_MS / 1000} seconds. Where it did not, what it tells is left out.`,
    registers,
    async collect() {
      this.set((await figures()) ? 1 : 0);
    },
  });
  new Gauge({
    name: 'sluice_runs',
    help: `Runs that have not ended: RUNNING; QUEUED, waiting for a worker or for an earlier run of the job; PAUSED, those that are QUEUED and wait between two attempts. ${OF_ALL_SERVERS}`,
    labelNames: ['status'],
    registers,
    async collect() {
      const found = await figures();
      this.reset();
      if (!found) return;
      this.set({ status: 'QUEUED' }, found.waiting);
      this.set({ status: 'PAUSED' }, found.paused);
      this.set({ status: 'RUNNING' }, found.running);
    },
  });
  const age = (name: string, help: string, read: (found: DeploymentFigures) => number): void => {
    new Gauge({
      name,
      help: `${help} ${OF_ALL_SERVERS}`,
      // Its one value comes and goes with the database: a gauge without labels would say 0.
      labelNames: [],
      registers,
      async collect() {
        const found = await figures();
        this.remove();
        if (found) this.set(read(found));
      },
    });
  };
  age(
    'sluice_oldest_waiting_run_age_seconds',
    'For how long the oldest run that waits could have been started; 0 where none waits.',
    (found) => found.oldestWaitingSeconds,
  );
  age(
    'sluice_slot_lag_seconds',
    'How late the oldest slot is that no run was queued for yet; 0 where none is due.',
    (found) => found.slotLagSeconds,
  );
};

const addRequests = (registers: Registers): Pick<Metrics, 'requestEnded' | 'written' | 'streamBusy'> => {
  const requests = new Counter({
    name: 'sluice_requests_total',
    help: 'Requests that were answered, by operation: a REST route, or the type and first field of a GraphQL operation. ok; refused, what the client has to change; failed, the server or its database.',
    labelNames: ['api', 'operation', 'outcome'],
    registers,
  });
  const seconds = new Histogram({
    name: 'sluice_request_duration_seconds',
    help: 'How long requests took, subscriptions left out, from their head to the end of their answer.',
    labelNames: ['api', 'operation'],
    buckets: [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 10, 60],
    registers,
  });
  const operations = new Counter({
    name: 'sluice_intake_operations_total',
    help: 'Writes to streams that were accepted, by kind (sum, replace, delete). replayed: answered from the ledger by their idempotency key.',
    labelNames: ['kind', 'replayed'],
    registers,
  });
  const inserted = new Counter({
    name: 'sluice_intake_records_total',
    help: 'Records that writes inserted, by kind.',
    labelNames: ['kind'],
    registers,
  });
  const hidden = new Counter({
    name: 'sluice_intake_hidden_records_total',
    help: 'Live records that writes hid, by kind.',
    labelNames: ['kind'],
    registers,
  });
  const busy = new Counter({
    name: 'sluice_stream_busy_total',
    help: 'Writes that were answered with STREAM_BUSY, because other writes to the stream took longer than STREAM_WAIT_MS.',
    registers,
  });
  for (const kind of ['sum', 'replace', 'delete']) {
    for (const replayed of ['false', 'true']) operations.inc({ kind, replayed }, 0);
    if (kind !== 'delete') inserted.inc({ kind }, 0);
    if (kind !== 'sum') hidden.inc({ kind }, 0);
  }
  // A series that begins at 1 has no increase for Prometheus: an operation has all its outcomes from its first request on.
  const begun = new Set<string>();
  const begin = (labels: { readonly api: RequestApi; readonly operation: string }): void => {
    const name = `${labels.api} ${labels.operation}`;
    if (begun.has(name)) return;
    begun.add(name);
    for (const outcome of OUTCOMES) requests.inc({ ...labels, outcome }, 0);
  };
  for (const api of APIS) {
    begin({ api, operation: 'other' });
    seconds.zero({ api, operation: 'other' });
  }
  return {
    streamBusy: () => busy.inc(),
    requestEnded: ({ api, operation, outcome, begunAt, isSubscription }) => {
      if (api === null) return;
      const labels = { api, operation: operation ?? 'other' };
      begin(labels);
      requests.inc({ ...labels, outcome });
      if (!isSubscription) seconds.observe(labels, (performance.now() - begunAt) / 1000);
    },
    written: (what, { operation, replayed }) => {
      const kind = what.toLowerCase();
      operations.inc({ kind, replayed: String(replayed) });
      if (replayed) return;
      if (operation.insertedRecords > 0) inserted.inc({ kind }, operation.insertedRecords);
      if (operation.hiddenRecords > 0) hidden.inc({ kind }, operation.hiddenRecords);
    },
  };
};

const addRuns = (registers: Registers): Pick<Metrics, 'attemptEnded' | 'runEnded' | 'objectPut' | 'mailSent'> => {
  const attempts = new Counter({
    name: 'sluice_run_attempts_total',
    help: 'Attempts of runs that ended on this server: succeeded; failed, and with it the run; retried, failed and to be tried again; stopped, canceled or handed over.',
    labelNames: ['outcome'],
    registers,
  });
  for (const outcome of ['succeeded', 'failed', 'retried', 'stopped']) attempts.inc({ outcome }, 0);
  const seconds = new Histogram({
    name: 'sluice_run_attempt_duration_seconds',
    help: 'How long attempts of runs took.',
    labelNames: ['outcome'],
    buckets: [0.1, 0.5, 1, 5, 15, 60, 300, 1800, 7200],
    registers,
  });
  for (const outcome of ['succeeded', 'failed', 'retried', 'stopped']) seconds.zero({ outcome });
  const runs = new Histogram({
    name: 'sluice_run_duration_seconds',
    help: 'How long runs took that this server ended, SUCCEEDED or FAILED: from when the run was queued, so its waiting, all its attempts and the pauses between them. Those CANCELED are in sluice_runs_ended_total alone.',
    labelNames: ['status'],
    buckets: [0.5, 1, 5, 15, 60, 300, 900, 3600, 14_400],
    registers,
  });
  for (const status of ['SUCCEEDED', 'FAILED']) runs.zero({ status });
  const rows = new Counter({
    name: 'sluice_exported_rows_total',
    help: 'Rows that attempts of runs wrote, those that failed among them.',
    registers,
  });
  const bytes = new Counter({
    name: 'sluice_exported_bytes_total',
    help: 'Bytes of the objects that attempts of runs wrote, as they were stored.',
    registers,
  });
  const puts = new Histogram({
    name: 'sluice_put_object_duration_seconds',
    help: 'How long PutObject took, manifests too, by outcome (ok, failed).',
    labelNames: ['outcome'],
    buckets: [0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30],
    registers,
  });
  for (const outcome of ['ok', 'failed']) puts.zero({ outcome });
  const mails = new Counter({
    name: 'sluice_mails_total',
    help: 'Mails about runs: sent; deferred, to be tried again; refused for good.',
    labelNames: ['outcome'],
    registers,
  });
  for (const outcome of ['sent', 'deferred', 'refused']) mails.inc({ outcome }, 0);
  return {
    attemptEnded: (outcome, took, progress) => {
      attempts.inc({ outcome });
      seconds.observe({ outcome }, took);
      rows.inc(progress.rows);
      bytes.inc(progress.bytes);
    },
    runEnded: (status, took) => runs.observe({ status }, took),
    objectPut: (outcome, took) => puts.observe({ outcome }, took),
    mailSent: (outcome) => mails.inc({ outcome }),
  };
};
