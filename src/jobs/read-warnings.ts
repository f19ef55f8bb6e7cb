import { sql } from 'drizzle-orm';
import { readAsOfNow } from '../db/as-of.ts';
import type { Db, Executor } from '../db/client.ts';
import { isCanceled } from '../db/failures.ts';
import { LimitExceededError } from '../errors/errors.ts';
import type { UsageSpec, UsageStream } from '../usage/sums-query.ts';
import { assertFilledRowsWithinLimit, buildUsageSpec } from '../usage/usage.ts';
import { computeWindow } from './schedule/window.ts';
import type { JobSettings } from './settings.ts';
import { findWarnings, type JobWarning } from './warnings.ts';

export interface WarningContext {
  readonly db: Db;
  /** Whether the operator configured a mail server. */
  readonly canMail: boolean;
  readonly limits: { readonly maxFilledRows: number };
}

/** Time limit of the count that the warning about MAX_FILLED_ROWS needs: it must not prevent that a job is disabled. */
const MAX_COUNT_MS = 2000;

/**
 * Returns the warnings of checkJob for these settings, as of now. The warning about MAX_FILLED_ROWS is left out if counting the rows
 * takes longer than 2 seconds.
 */
export async function readWarnings(
  { db, canMail, limits }: WarningContext,
  accountId: bigint,
  settings: JobSettings,
  now: Date,
): Promise<JobWarning[]> {
  const window = computeWindow(settings, now);
  let streams: readonly UsageStream[] | null = null;
  let tooManyRows: string | null = null;
  try {
    await readAsOfNow(db, accountId, async (tx, watermark) => {
      const spec = await buildUsageSpec(tx, accountId, settings, window, watermark);
      ({ streams } = spec);
      if (!spec.sparse) await tx.execute(sql.raw(`SET LOCAL statement_timeout = ${MAX_COUNT_MS}`));
      tooManyRows = await findTooManyRows(tx, spec, limits.maxFilledRows);
    });
  } catch (error) {
    if (streams === null || !isCanceled(error)) throw error;
  }
  return findWarnings(settings, streams ?? [], window, { canMail, tooManyRows });
}

/** Returns the message of the LimitExceededError with which a run would fail; null if it would not. */
export async function findTooManyRows(db: Executor, spec: UsageSpec, limit: number): Promise<string | null> {
  try {
    await assertFilledRowsWithinLimit(db, spec, limit);
    return null;
  } catch (error) {
    if (error instanceof LimitExceededError) return error.message;
    throw error;
  }
}
