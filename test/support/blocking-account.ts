import { withClient } from './postgres-admin.ts';
import { eventually } from './server.ts';

// An account with slow writes to twelve streams, which sends further writes to the same streams.

const STREAMS = Array.from({ length: 12 }, (_, index) => `blocked-${index}`);
const ANY_NUMBER = 424_242;
const BUCKET = { timestamp: '2026-01-25T00:00:00Z', granularity: 'DAILY' };

interface Place {
  readonly url: string;
}

/** Number of responses by status and code, such as `503 STREAM_BUSY`. */
export type Outcomes = Readonly<Record<string, number>>;

export interface BlockingAccount {
  /** Lets the slow writes end. Returns the responses to all requests of the account. */
  release(): Promise<Outcomes>;
}

async function send({ url }: Place, key: string, route: string, body: string, type: string): Promise<string> {
  const response = await fetch(`${url}/unit-cost/v1/telemetry/allocation/${route}`, {
    method: 'POST',
    headers: { 'x-api-key': key, 'content-type': type },
    body,
  });
  const answer = (await response.json()) as { error?: { code: string } };
  return response.ok ? 'ok' : `${response.status} ${answer.error?.code}`;
}

function line(element: string): string {
  return JSON.stringify({ ...BUCKET, 'element-name': element, value: '1' });
}

function listOf(lines: readonly string[]): string {
  return `{"records":[${lines.join(',')}]}`;
}

/**
 * Starts bulk replaces of twelve streams on the first server, which hold the locks of their streams until release(), and
 * replaces, deletes, NDJSON replaces and sums of the same streams on all servers. Resolves when connections wait for locks.
 */
export async function startBlockingAccount(
  databaseUrl: string,
  servers: readonly [Place, ...Place[]],
  key: string,
): Promise<BlockingAccount> {
  const released = Promise.withResolvers<void>();
  const locked = Promise.withResolvers<void>();
  const holding = withClient(databaseUrl, async (client) => {
    // A record of the element "slow" takes as long as this lock is held, like millions of records would. It does not wait for
    // the lock, so lock_timeout does not end it.
    await client.query(`
      CREATE FUNCTION be_slow() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN
          WHILE NOT pg_try_advisory_xact_lock_shared(${ANY_NUMBER}) LOOP PERFORM pg_sleep(0.05); END LOOP;
          RETURN NEW;
        END $$;
      CREATE TRIGGER be_slow BEFORE INSERT ON records FOR EACH ROW WHEN (NEW.element = 'slow') EXECUTE FUNCTION be_slow()`);
    await client.query(`SELECT pg_advisory_lock(${ANY_NUMBER})`);
    locked.resolve();
    await released.promise;
    await client.query(`SELECT pg_advisory_unlock(${ANY_NUMBER})`);
  });
  holding.catch(locked.reject);
  await locked.promise;
  const [first] = servers;
  const json = 'application/json';
  const ndjson = 'application/x-ndjson';
  for (const stream of STREAMS) await send(first, key, `${stream}/sum`, listOf([line('quick')]), json);
  const outcomes: Promise<string>[] = STREAMS.map((stream) =>
    send(first, key, `${stream}/replace`, `${line('slow')}\n${line('quick')}\n`, ndjson),
  );
  await untilWaiting(databaseUrl, 2);
  const many = listOf(Array.from({ length: 200 }, (_, index) => line(`e${index}`)));
  for (const server of servers) {
    for (const stream of STREAMS) {
      outcomes.push(
        send(server, key, `${stream}/replace`, listOf([line('quick')]), json),
        send(server, key, `${stream}/delete`, listOf([JSON.stringify(BUCKET)]), json),
        send(server, key, `${stream}/replace`, line('quick'), ndjson),
        send(server, key, `${stream}/sum`, listOf([line('quick')]), json),
        send(server, key, `${stream}/sum`, many, json),
        send(server, key, `${stream}/sum`, many, json),
      );
    }
  }
  await untilWaiting(databaseUrl, 4 * servers.length);
  return {
    release: async () => {
      released.resolve();
      const words = await Promise.all(outcomes);
      await holding;
      return Object.fromEntries([...Map.groupBy(words, (word) => word)].map(([word, all]) => [word, all.length]));
    },
  };
}

/** Waits until `count` sessions wait for a lock or are slow. */
function untilWaiting(databaseUrl: string, count: number): Promise<number> {
  return withClient(databaseUrl, (client) =>
    eventually(
      async () => {
        const { rows } = await client.query<{ count: number }>(
          `SELECT count(*)::int FROM pg_stat_activity WHERE datname = current_database() AND (wait_event_type = 'Lock' OR wait_event = 'PgSleep')`,
        );
        return rows[0]?.count ?? 0;
      },
      (waiting) => waiting >= count,
    ),
  );
}
