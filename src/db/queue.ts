import { sql } from 'drizzle-orm';
import { fromDrizzle, PgBoss } from 'pg-boss';
import type { Db, Transaction } from './client.ts';
import { coordinatorConnection } from './connection-options.ts';
import { QueueClient } from './queue-client.ts';

/**
 * How long the queue waits for whoever handles the message of a run: pg-boss takes a day at most. When it is over the queue
 * hands out the next message in its place, so the default of 15 minutes was shorter than many exports.
 */
const RUN_EXPIRES_SECONDS = 86_399;

/** The queue of messages that wake workers. */
export type Queue = PgBoss;

/** The schema of the queue's own tables, beside Sluice's in the same database. */
const QUEUE_SCHEMA = 'pgboss';

/** Hands out runs. The run's row is the truth; a message only says that a job may have something to run. */
export const RUN_QUEUE = 'runs';
/** Hands out mails of ended runs, and repeats those that the mail server refused for now. */
export const MAIL_QUEUE = 'mails';

export interface RunMessage {
  readonly jobId: string;
}

export interface MailMessage {
  readonly runId: string;
  /** Set where one mail tells of several missed slots. */
  readonly missed?: number;
}

export interface QueueOptions {
  readonly url: string;
  readonly applicationName: string;
  /** Whether this process also hands out: then it looks after stale messages, and is woken by NOTIFY. */
  readonly worker: boolean;
  readonly onError: (error: Error) => void;
}

/** For its pool. */
const OWN_CLIENT = { Client: QueueClient };

/**
 * Opens pg-boss on connections of its own (its DDL fails through drizzle on a pool).
 * Its cron and its monitors of vacuum and indexes stay off: the schedule is Sluice's, the rest the operator's.
 */
export const openQueue = (options: QueueOptions): PgBoss => {
  const queue = new PgBoss({
    ...OWN_CLIENT,
    ...coordinatorConnection(options.url, { applicationName: options.applicationName }),
    schema: QUEUE_SCHEMA,
    max: 3,
    schedule: false,
    migrate: false,
    createSchema: false,
    supervise: options.worker,
    // The default of 60 s would leave a dead worker's message for a minute too long.
    superviseIntervalSeconds: 5,
    useListenNotify: options.worker,
    monitorVacuum: false,
  });
  queue.on('error', options.onError);
  return queue;
};

/** Creates or upgrades the queue's tables; called under the lock of the migrations. */
export const installQueue = async (databaseUrl: string): Promise<void> => {
  const queue = new PgBoss({
    ...OWN_CLIENT,
    ...coordinatorConnection(databaseUrl, { applicationName: 'sluice-migrate' }),
    schema: QUEUE_SCHEMA,
    max: 1,
    schedule: false,
    supervise: false,
  });
  // Failures reject start(); without a listener the same error would also end the process.
  queue.on('error', () => undefined);
  try {
    await queue.start();
    // The worker repeats attempts by the run's own rules, so the queue itself never does. Of each job one message
    // waits at most ('short'): a second would find nothing to do, and a long backlog would pile them up.
    await queue.createQueue(RUN_QUEUE, { policy: 'short', retryLimit: 0, notify: true, deleteAfterSeconds: 3600 });
    // By itself, since createQueue leaves a queue that is there as it is.
    await queue.updateQueue(RUN_QUEUE, { expireInSeconds: RUN_EXPIRES_SECONDS });
    await queue.createQueue(MAIL_QUEUE, {
      policy: 'standard',
      retryLimit: 8,
      retryDelay: 15,
      retryBackoff: true,
      retryDelayMax: 3600,
      notify: true,
      deleteAfterSeconds: 86_400,
    });
  } finally {
    await queue.stop({ graceful: false });
  }
};

/** A message for the run queue, to be handed out at once or after a moment. */
export interface RunWakeUp {
  readonly jobId: string;
  readonly startAfter?: Date | null;
}

/**
 * Of each key one message waits at most. Those for later have keys of their own moments: what is to be done at once must
 * not fall to a message that waits for the next attempt of another run, a minute from now.
 */
export const wakeUpKey = (jobId: string, startAfter?: Date | null): string =>
  startAfter ? `${jobId} at ${startAfter.toISOString()}` : jobId;

/**
 * Wakes jobs inside the caller's transaction: the message is there if and only if the run is. Sorted, since two
 * transactions that woke the same jobs in other orders would wait for each other.
 */
export const sendWakeUps = async (queue: PgBoss, tx: Transaction, jobs: readonly RunWakeUp[]): Promise<void> => {
  if (jobs.length === 0) return;
  await queue.insert(
    RUN_QUEUE,
    jobs
      .toSorted((a, b) => (a.jobId < b.jobId ? -1 : 1))
      .map(({ jobId, startAfter }) => ({
        data: { jobId } satisfies RunMessage,
        singletonKey: wakeUpKey(jobId, startAfter),
        ...(startAfter && { startAfter }),
      })),
    { db: fromDrizzle(tx, sql) },
  );
};

/** Queues mails inside the caller's transaction. */
export const sendMails = async (queue: PgBoss, tx: Transaction, mails: readonly MailMessage[]): Promise<void> => {
  if (mails.length === 0) return;
  await queue.insert(
    MAIL_QUEUE,
    mails.map((data) => ({ data })),
    { db: fromDrizzle(tx, sql) },
  );
};

/** Whether the queue's tables are there, and hold Sluice's queues. Changes nothing. */
export const queueIsInstalled = async (db: Db): Promise<boolean> => {
  const schema = sql.raw(QUEUE_SCHEMA);
  const tables = await db.execute<{ found: boolean }>(
    sql`SELECT to_regclass('${schema}.version') IS NOT NULL AND to_regclass('${schema}.queue') IS NOT NULL AS found`,
  );
  if (!tables.rows[0]?.found) return false;
  const { rows } = await db.execute<{ queues: number }>(
    sql`SELECT count(*)::int AS queues FROM ${schema}.queue WHERE name IN (${RUN_QUEUE}, ${MAIL_QUEUE})`,
  );
  return rows[0]?.queues === 2;
};

export interface WorkOptions {
  /** Messages that are handled at the same time. */
  readonly workers: number;
  /** How long a message for a later moment may wait beyond it. */
  readonly pollingSeconds: number;
}

/**
 * Hands the messages of a queue to `handle` until queue.offWork. NOTIFY tells of messages that are due at once. It wakes
 * each worker for one message, though, and later ones only polling finds, which pg-boss slows down to every 30 s where
 * it listens: so the interval is said twice, and whoever has handled a message looks for the next one.
 */
export const consume = async <Message extends object>(
  queue: PgBoss,
  name: string,
  { workers, pollingSeconds }: WorkOptions,
  handle: (message: Message) => Promise<void>,
): Promise<void> => {
  const options = {
    batchSize: 1,
    pollingIntervalSeconds: pollingSeconds,
    notifyPollingIntervalSeconds: pollingSeconds,
  } as const;
  for (let count = 0; count < workers; count += 1) {
    const worker = { id: '' };
    worker.id = await queue.work<Message, void, typeof options>(name, options, async (messages) => {
      try {
        for (const message of messages) await handle(message.data);
      } finally {
        queue.notifyWorker(worker.id);
      }
    });
  }
};
