import type { Logger } from 'pino';
import { and, desc, eq, sql } from 'drizzle-orm';
import type { Db } from '../db/client.ts';
import {
  type BackfillMailMessage,
  consume,
  MAIL_QUEUE,
  type MailMessage,
  type Queue,
  type RunMailMessage,
} from '../db/queue.ts';
import { encodeGlobalId } from '../lib/global-ids.ts';
import { backfills } from '../db/delivery-tables.ts';
import { jobs, runs } from '../db/tables.ts';
import type { Stoppable } from '../lib/lifecycle.ts';
import { composeBackfillMail } from '../notify/backfill-message.ts';
import { type Mail, MailError } from '../notify/mail.ts';
import { composeMissedMail, composeRunMail, type MailText } from '../notify/run-message.ts';
import { loadRunObjects, type RunRow } from '../runs/runs.ts';

export interface MailerOptions {
  readonly db: Db;
  readonly queue: Queue;
  /** Null if SMTP_URL is not set: mails are only logged. */
  readonly mail: Mail | null;
  readonly maxCatchUp: number;
  readonly log: Logger;
  /** Returns the name of an account for the log; null if it cannot be read. */
  readonly accountName: (id: bigint) => Promise<string | null>;
  readonly onTried: (outcome: 'sent' | 'deferred' | 'refused') => void;
}

/** Sends the mails about ended runs and backfills. The queue keeps and retries a mail that the mail server deferred. */
export async function startMailer(options: MailerOptions): Promise<Stoppable> {
  const { queue } = options;
  await consume<MailMessage>(queue, MAIL_QUEUE, { workers: 1, pollingSeconds: 5 }, (message) =>
    sendOne(options, message),
  );
  let stopped: Promise<void> | undefined;
  return { stop: () => (stopped ??= queue.offWork(MAIL_QUEUE, { wait: true })) };
}

async function sendOne(options: MailerOptions, message: MailMessage): Promise<void> {
  if ('backfillId' in message) await sendBackfillMail(options, message);
  else await sendRunMail(options, message);
}

async function sendRunMail(options: MailerOptions, message: RunMailMessage): Promise<void> {
  const { db, maxCatchUp } = options;
  const [run] = await db.select().from(runs).where(eq(runs.id, message.runId));
  const email = run?.settings.email;
  if (!run || !email) return;
  await send(options, {
    about: 'run',
    row: run,
    jobName: run.settings.jobName,
    bindings: { runId: encodeGlobalId('Run', run.id) },
    status: run.status,
    email,
    compose: () =>
      message.missed === undefined ? composeEnded(db, run) : composeMissed(db, run, message.missed, maxCatchUp),
  });
}

async function sendBackfillMail(
  options: MailerOptions,
  { backfillId, ...reported }: BackfillMailMessage,
): Promise<void> {
  const [found] = await options.db
    .select({ backfill: backfills, settings: jobs.settings })
    .from(backfills)
    .innerJoin(jobs, eq(jobs.id, backfills.jobId))
    .where(eq(backfills.id, backfillId));
  if (!found?.settings.email) return;
  const { backfill, settings } = found;
  const id = encodeGlobalId('Backfill', backfill.id);
  await send(options, {
    about: 'backfill',
    row: backfill,
    jobName: settings.jobName,
    bindings: { backfillId: id },
    status: reported.status,
    email: found.settings.email,
    compose: () => Promise.resolve(composeBackfillMail({ ...backfill, ...reported, id, ...settings })),
  });
}

interface Letter {
  readonly about: 'run' | 'backfill';
  readonly row: { readonly jobId: string; readonly accountId: bigint };
  readonly jobName: string;
  /** Added to the lines of the log. */
  readonly bindings: Readonly<Record<string, string>>;
  readonly status: string;
  readonly email: string;
  readonly compose: () => Promise<MailText>;
}

/** Throws if the mail server deferred the mail, so that the queue retries it. */
async function send(options: MailerOptions, { about, row, jobName, bindings, status, email, compose }: Letter) {
  const { mail, onTried } = options;
  const log = options.log.child({
    ...bindings,
    jobId: encodeGlobalId('Job', row.jobId),
    jobName,
    account: await options.accountName(row.accountId),
    accountId: String(row.accountId),
  });
  if (!mail) {
    log.warn({ status }, `no mail was sent about this ${about}: SMTP_URL is not set`);
    return;
  }
  const text = await compose();
  try {
    await mail.send(email, text);
    onTried('sent');
  } catch (error) {
    const isPermanent = error instanceof MailError && !error.retryable;
    onTried(isPermanent ? 'refused' : 'deferred');
    if (isPermanent) {
      log.error({ err: error }, `the mail about this ${about} failed permanently`);
      return;
    }
    log.warn({ err: error }, `the mail about this ${about} could not be sent; it will be retried`);
    throw error;
  }
}

async function composeEnded(db: Db, run: RunRow): Promise<MailText> {
  const objects = await loadRunObjects(db, [run.id]);
  return composeRunMail({
    jobName: run.settings.jobName,
    runId: encodeGlobalId('Run', run.id),
    status: run.status as 'SUCCEEDED' | 'FAILED' | 'CANCELED',
    restatement: run.trigger === 'RESTATEMENT' ? (run.reason ?? 'CORRECTION') : null,
    scheduledFor: run.scheduledFor,
    windowStart: run.windowStart,
    windowEnd: run.windowEnd,
    timeZone: run.settings.timeZone,
    attempt: run.attempt,
    rowsWritten: run.rowsWritten,
    bytesWritten: run.bytesWritten,
    bucket: run.bucket,
    objectKeys: objects.map((object) => object.key),
    manifestKey: run.status === 'SUCCEEDED' ? run.manifestKey : null,
    warnings: run.warnings,
    error: run.error,
  });
}

async function composeMissed(db: Db, newest: RunRow, count: number, limit: number): Promise<MailText> {
  const missed = await db
    .select()
    .from(runs)
    .where(
      and(
        eq(runs.jobId, newest.jobId),
        sql`${runs.error} ->> 'code' = 'MISSED'`,
        eq(runs.finishedAt, newest.finishedAt as Date),
      ),
    )
    .orderBy(desc(runs.scheduledFor))
    .limit(count);
  return composeMissedMail({
    jobName: newest.settings.jobName,
    timeZone: newest.settings.timeZone,
    limit,
    slots: missed.reverse(),
  });
}
