import { sql } from 'drizzle-orm';
import type { Db, Transaction } from './client.ts';

/** Returns the time of the database's clock, on which all servers agree. */
export async function databaseNow(db: Db | Transaction): Promise<Date> {
  const { rows } = await db.execute<{ now: string }>(sql`SELECT clock_timestamp() AS now`);
  return new Date(rows[0]?.now ?? '');
}
