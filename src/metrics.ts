import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';

/** What /metrics tells. Made for each app, so that two in one process (tests) do not share counters. */
export const createMetrics = (sources: {
  readonly poolWaiting: () => number;
  readonly openSubscriptions: () => number;
}) => {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  new Gauge({
    name: 'sluice_database_pool_waiting',
    help: 'Requests that wait for a database connection.',
    registers,
    collect() {
      this.set(sources.poolWaiting());
    },
  });
  new Gauge({
    name: 'sluice_subscriptions_open',
    help: 'Open subscriptions on this server.',
    registers,
    collect() {
      this.set(sources.openSubscriptions());
    },
  });
  return {
    registry,
    runAttempts: new Counter({
      name: 'sluice_run_attempts_total',
      help: 'Attempts of runs that ended on this server, by how (succeed, fail, stopped).',
      labelNames: ['outcome'],
      registers,
    }),
    runSeconds: new Histogram({
      name: 'sluice_run_attempt_seconds',
      help: 'How long attempts of runs took.',
      buckets: [0.1, 0.5, 1, 5, 15, 60, 300, 1800],
      registers,
    }),
  };
};
