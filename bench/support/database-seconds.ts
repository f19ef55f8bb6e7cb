import { readFile } from 'node:fs/promises';
import type pg from 'pg';

/** Returns the seconds of CPU time of PostgreSQL's current and ended processes. Linux only. */
export async function databaseSeconds(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  const parent = Number((await statOf(rows[0]?.pid ?? 0))[1]);
  const children = (await readFile(`/proc/${parent}/task/${parent}/children`, 'utf8')).trim().split(' ');
  const ticks = (fields: readonly string[], from: number): number => Number(fields[from]) + Number(fields[from + 1]);
  const [main, ...others] = await Promise.all([parent, ...children].map((pid) => statOf(pid).catch(() => [])));
  let sum = ticks(main ?? [], 11) + ticks(main ?? [], 13);
  for (const fields of others) if (fields.length > 0) sum += ticks(fields, 11);
  return sum / 100;
}

/** Returns the fields of /proc/PID/stat from the third one. */
async function statOf(pid: number | string): Promise<string[]> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8');
  return text.slice(text.lastIndexOf(')') + 2).split(' ');
}
