// Figures of the whole deployment, out of its database.
import { Counter, Gauge, type Registry } from 'prom-client';
import { createCachedRead } from '../lib/cached-read.ts';
import type { DeploymentFigures } from '../runs/deployment-figures.ts';

export interface DeploymentSources {
  /** Reads the figures of all servers together, with the runs that ended since the given time. */
  readonly readDeployment: (endedSince: string | null) => Promise<DeploymentFigures>;
}

/** Scrapes within this time share one read of the database. */
const FRESH_MS = 2000;
/** A scrape waits this long for the database, and then returns the other metrics without it. */
const DATABASE_MS = 2000;

export const OF_ALL_SERVERS = 'Deployment-wide and the same on every server: use max(), not sum().';
export const COUNTED_BY_EACH =
  'Deployment-wide, counted by each server since its own first scrape. Only the increases agree, so use max() of increase(), not sum().';

/** Returns a function that adds a gauge of one age, which is omitted if the database does not answer. */
export function createAges<Figures>(registers: Registry[], figures: () => Promise<Figures | null>) {
  return (name: string, help: string, read: (found: Figures) => number): void => {
    new Gauge({
      name,
      help: `${help} ${OF_ALL_SERVERS}`,
      // A gauge without labels would be 0 without an answer.
      labelNames: [],
      registers,
      async collect() {
        const found = await figures();
        this.remove();
        if (found) this.set(read(found));
      },
    });
  };
}

export function addDeployment(registers: Registry[], { readDeployment }: DeploymentSources): void {
  const ended = new Counter({
    name: 'sluice_runs_ended_total',
    help: `Runs that ended, by status. The reason of CANCELED runs is MISSED, SUPERSEDED, UNCHANGED, JOB_CHANGED, DELIVERED or request. Counted while a server is scraped, 10 seconds late. ${COUNTED_BY_EACH}`,
    labelNames: ['status', 'reason'],
    registers,
    collect: async () => {
      await figures();
    },
  });
  for (const status of ['SUCCEEDED', 'FAILED']) ended.inc({ status, reason: '' }, 0);
  for (const reason of ['request', 'MISSED', 'SUPERSEDED', 'UNCHANGED', 'JOB_CHANGED', 'DELIVERED'])
    ended.inc({ status: 'CANCELED', reason }, 0);
  let endedSince: string | null = null;
  const figures = createCachedRead({
    read: async () => {
      const read = await readDeployment(endedSince);
      endedSince = read.endedUntil;
      for (const { status, reason, runs } of read.ended) {
        ended.inc({ status, reason: reason ?? (status === 'CANCELED' ? 'request' : '') }, runs);
      }
      return read;
    },
    freshMs: FRESH_MS,
    waitMs: DATABASE_MS,
  });
  // Without an answer of the database they are absent, and not 0, which would be good news.
  new Gauge({
    name: 'sluice_database_up',
    help: `Whether the database answered within ${DATABASE_MS / 1000} seconds. If not, the metrics that it provides are omitted.`,
    registers,
    async collect() {
      this.set((await figures()) ? 1 : 0);
    },
  });
  new Gauge({
    name: 'sluice_runs',
    help: `Runs that have not ended: RUNNING; QUEUED, waiting for a worker or for an earlier run of the job; PAUSED, those that are QUEUED and wait between two attempts, or until their streams are complete. ${OF_ALL_SERVERS}`,
    labelNames: ['status'],
    registers,
    async collect() {
      const found = await figures();
      this.reset();
      if (!found) return;
      this.set({ status: 'QUEUED' }, found.waiting);
      this.set({ status: 'PAUSED' }, found.paused);
      this.set({ status: 'RUNNING' }, found.running);
    },
  });
  const age = createAges(registers, figures);
  age(
    'sluice_oldest_waiting_run_age_seconds',
    'Seconds that the oldest waiting run could have been running; 0 if none waits.',
    (found) => found.oldestWaitingSeconds,
  );
  age(
    'sluice_slot_lag_seconds',
    'Seconds since the oldest due slot without a queued run; 0 if none is due.',
    (found) => found.slotLagSeconds,
  );
}
