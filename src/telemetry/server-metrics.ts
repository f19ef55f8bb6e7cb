// Figures of this server alone.
import { Counter, Gauge, type Registry } from 'prom-client';

export interface ServerSources {
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
  /** Since this process began. */
  readonly repairedLedgers: () => number;
}

export function addServer(registers: Registry[], sources: ServerSources): void {
  const { pool, poolSize, waitingForShare, openSubscriptions, heldBytes, waitingForStream, requestBytes } = sources;
  new Counter({
    name: 'sluice_ledger_repairs_total',
    help: 'Accounts that came from another database cluster or node, and whose transaction ids this server repaired.',
    registers,
    collect() {
      this.reset();
      this.inc(sources.repairedLedgers());
    },
  });
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
}
