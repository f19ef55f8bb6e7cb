import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

// Times of a growing stream: measured by growth.ts, drawn by growth-picture.ts, shown in docs/benchmarks.md.

/** One size of the stream. */
export interface GrowthPoint {
  readonly records: number;
  /** Intake of all records up to this size, as NDJSON. */
  readonly intakeSeconds: number;
  /** Intake rate since the previous size. */
  readonly intakeRecordsPerSecond: number;
  /** Time of an export with one total per day. */
  readonly dailySeconds: number;
  /** Time of an export with one total per day and value of a dimension. */
  readonly groupedSeconds: number;
}

export interface Growth {
  readonly machine: { readonly cores: number; readonly memoryGib: number; readonly node: string };
  readonly days: number;
  readonly points: readonly GrowthPoint[];
}

export const GROWTH_FILE = join(import.meta.dirname, '../growth.json');

/** Returns null if nothing was measured yet. */
export async function readGrowth(file = GROWTH_FILE): Promise<Growth | null> {
  const text = await readFile(file, 'utf8').catch(() => null);
  return text === null ? null : (JSON.parse(text) as Growth);
}
