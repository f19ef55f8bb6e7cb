import { sql } from 'drizzle-orm';
import { fromDrizzle, PgBoss } from 'pg-boss';
import type { Db, Transaction } from './client.ts';
import { buildCoordinatorConnection } from './connection-options.ts';
import type { RunFailure } from './json-columns.ts';
import { QueueClient } from './queue-client.ts';

/**
 * How long the queue waits until the message of a run is handled: the maximum of pg-boss, one day. Then the queue delivers the next
 * message. The default of 15 minutes was shorter than many exports.
 */
const RUN_EXPIRES_SECONDS = 86_399;

/** The queue of messages that wake workers. */
export type Queue = PgBoss;

/** The schema of the queue's own tables, beside Sluice's in the same database. */
const QUEUE_SCHEMA = 'pgboss';

/** Wakes workers for runs. The row of a run is authoritative; a message only means that a job may have a run to execute. */
export const RUN_QUEUE = 'runs';
/** Mails about ended runs. A message is retried if the mail server rejects the mail temporarily. */
export const MAIL_QUEUE = 'mails';

export interface RunMessage {
  readonly jobId: string;
}

export interface RunMailMessage {
  readonly runId: string;
  /** Number of missed slots, if one mail reports several. */
  readonly missed?: number;
}

/** The status that the mail reports: a paused backfill may have been resumed when the mail is sent. */
export interface BackfillMailMessage {
  readonly backfillId: string;
  readonly status: string;
  readonly error: RunFailure | null;
}

export type MailMessage = RunMailMessage | BackfillMailMessage;

export interface QueueOptions {
  readonly url: string;
  readonly applicationName: string;
  /** Whether this process handles messages: then it manages stale ones, and is woken by NOTIFY. */
  readonly worker: boolean;
  readonly onError: (error: Error) => void;
}

/** An option of pg's pool, which pg-boss passes on without declaring it. */
const OWN_CLIENT = { Client: QueueClient };

/**
 * Opens pg-boss on separate connections, because its DDL fails through drizzle on a pool. Its cron and its monitors of vacuum and
 * indexes are off: Sluice has its own schedule, and the operator monitors the database.
 */
export function openQueue(options: QueueOptions): PgBoss {
  const queue = new PgBoss({
    ...OWN_CLIENT,
    ...buildCoordinatorConnection(options.url, { applicationName: options.applicationName }),
    schema: QUEUE_SCHEMA,
    max: 3,
    schedule: false,
    migrate: false,
    createSchema: false,
    supervise: options.worker,
    // The default of 60 s would delay the message of a dead worker by up to a minute.
    superviseIntervalSeconds: 5,
    useListenNotify: options.worker,
    monitorVacuum: false,
  });
  queue.on('error', options.onError);
  return queue;
}

/** Creates or upgrades the queue's tables; called under the lock of the migrations. */
export async function installQueue(databaseUrl: string): Promise<void> {
  const queue = new PgBoss({
    ...OWN_CLIENT,
    ...buildCoordinatorConnection(databaseUrl, { applicationName: 'sluice-migrate' }),
    schema: QUEUE_SCHEMA,
    max: 1,
    schedule: false,
    supervise: false,
  });
  // start() rejects with each failure. Without a listener the same error would also end the process.
  queue.on('error', () => undefined);
  try {
    await queue.start();
    // The worker retries attempts by the rules of runs, so the queue never retries. Each job has up to one waiting message
    // ('short'): a second would find nothing to do, and a long backlog would accumulate them.
    await queue.createQueue(RUN_QUEUE, { policy: 'short', retryLimit: 0, notify: true, deleteAfterSeconds: 3600 });
    // A separate call, because createQueue does not change an existing queue.
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
}

/** A message for the run queue, to be delivered immediately or at a later time. */
export interface RunWakeUp {
  readonly jobId: string;
  readonly startAfter?: Date | null;
  /** Whether the messages of slots and of users are delivered before it. */
  readonly isBackground?: boolean;
}

/** Other messages have the priority 0. */
const BACKGROUND_PRIORITY = -1;

/**
 * Returns the key of a message: up to one message with the same key waits. The key of a later message contains its time, so that an
 * immediate message is not dropped because another one waits, for example for an attempt in a minute.
 */
export function formatWakeUpKey(jobId: string, startAfter?: Date | null): string {
  return startAfter ? `${jobId} at ${startAfter.toISOString()}` : jobId;
}

/**
 * Wakes jobs inside the caller's transaction: the message exists if and only if the run does. Sorted, because two transactions that
 * wake the same jobs in different orders would deadlock.
 */
export async function sendWakeUps(queue: PgBoss, tx: Transaction, jobs: readonly RunWakeUp[]): Promise<void> {
  if (jobs.length === 0) return;
  await queue.insert(
    RUN_QUEUE,
    jobs
      .toSorted((a, b) => (a.jobId < b.jobId ? -1 : 1))
      .map(({ jobId, startAfter, isBackground }) => ({
        data: { jobId } satisfies RunMessage,
        // With a key of its own, so that a message of a slot is not dropped because this one waits.
        ...(isBackground
          ? { singletonKey: `${jobId} in the background`, priority: BACKGROUND_PRIORITY }
          : { singletonKey: formatWakeUpKey(jobId, startAfter) }),
        ...(startAfter && { startAfter }),
      })),
    { db: fromDrizzle(tx, sql) },
  );
}

/** Queues mails inside the caller's transaction. */
export async function sendMails(queue: PgBoss, tx: Transaction, mails: readonly MailMessage[]): Promise<void> {
  if (mails.length === 0) return;
  await queue.insert(
    MAIL_QUEUE,
    mails.map((data) => ({ data })),
    { db: fromDrizzle(tx, sql) },
  );
}

/** Whether the tables of the queue exist and contain Sluice's queues. */
export async function isQueueInstalled(db: Db): Promise<boolean> {
  const schema = sql.raw(QUEUE_SCHEMA);
  const tables = await db.execute<{ found: boolean }>(
    sql`SELECT to_regclass('${schema}.version') IS NOT NULL AND to_regclass('${schema}.queue') IS NOT NULL AS found`,
  );
  if (!tables.rows[0]?.found) return false;
  const { rows } = await db.execute<{ queues: number }>(
    sql`SELECT count(*)::int AS queues FROM ${schema}.queue WHERE name IN (${RUN_QUEUE}, ${MAIL_QUEUE})`,
  );
  return rows[0]?.queues === 2;
}

export interface WorkOptions {
  /** Number of messages that are handled at the same time. */
  readonly workers: number;
  /** Maximum delay of a message that is due at a later time. */
  readonly pollingSeconds: number;
}

/**
 * Calls `handle` for the messages of a queue until queue.offWork(). NOTIFY announces messages that are due immediately, but it wakes
 * each worker for one message only. Polling finds the others; with NOTIFY pg-boss polls every 30 s by default, so the interval is
 * set twice, and a worker that has handled a message looks for the next one.
 */
export async function consume<Message extends object>(
  queue: PgBoss,
  name: string,
  { workers, pollingSeconds }: WorkOptions,
  handle: (message: Message) => Promise<void>,
): Promise<void> {
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
}
