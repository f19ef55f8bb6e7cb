// Figures of the deliveries of the whole deployment, out of its database.
import { Counter, Gauge, type Registry } from 'prom-client';
import { DELIVERY_STATES } from '../deliveries/delivery.ts';
import { createCachedRead } from '../lib/cached-read.ts';
import { type DeliveryFigures, RESTATEMENT_OUTCOMES } from '../runs/delivery-figures.ts';
import { COUNTED_BY_EACH, createAges, OF_ALL_SERVERS } from './deployment-metrics.ts';

export interface DeliverySources {
  /** Reads the figures of all accounts together, with the restatements that ended since the given time. */
  readonly readDeliveries: (endedSince: string | null) => Promise<DeliveryFigures>;
}

/** Scrapes within this time share one read of the database, which counts all deliveries. */
const FRESH_MS = 60_000;
/** A scrape waits this long for the database, and then returns the other metrics without it. */
const DATABASE_MS = 2000;

export function addDeliveryMetrics(registers: Registry[], { readDeliveries }: DeliverySources): void {
  const restatements = new Counter({
    name: 'sluice_restatements_total',
    help: `Restatements that ended: succeeded; unchanged, the rows did not differ; failed; canceled. Counted while a server is scraped, once a minute. ${COUNTED_BY_EACH}`,
    labelNames: ['outcome'],
    registers,
    collect: async () => {
      await figures();
    },
  });
  for (const outcome of RESTATEMENT_OUTCOMES) restatements.inc({ outcome }, 0);
  let endedSince: string | null = null;
  const figures = createCachedRead({
    read: async () => {
      const read = await readDeliveries(endedSince);
      endedSince = read.endedUntil;
      for (const [outcome, count] of read.restatements) restatements.inc({ outcome }, count);
      return read;
    },
    freshMs: FRESH_MS,
    waitMs: DATABASE_MS,
  });
  new Gauge({
    name: 'sluice_deliveries',
    help: `Deliveries by state, counted once a minute. ${OF_ALL_SERVERS}`,
    labelNames: ['state'],
    registers,
    async collect() {
      const found = await figures();
      this.reset();
      if (found) for (const state of DELIVERY_STATES) this.set({ state }, found.states.get(state) ?? 0);
    },
  });
  const age = createAges(registers, figures);
  age(
    'sluice_oldest_restatement_age_seconds',
    'Seconds since the oldest correction was found whose restatement waits, runs or has failed; 0 if there is none.',
    (found) => found.oldestRestatementSeconds,
  );
  age(
    'sluice_ledger_scan_lag_seconds',
    'Seconds since the last scan of the ledger that was not scanned for the longest time. Up to LEDGER_SCAN_IDLE_SECONDS and a minute is usual.',
    (found) => found.scanLagSeconds,
  );
}
