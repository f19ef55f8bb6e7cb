import { Counter, Histogram, type Registry } from 'prom-client';

/** How the attempt of a run ended for its worker: retried is a failure after which it is tried again. */
export type AttemptOutcome = 'succeeded' | 'failed' | 'skipped' | 'retried' | 'stopped';

export interface RunMetrics {
  readonly attemptEnded: (outcome: AttemptOutcome, seconds: number, progress: { rows: number; bytes: number }) => void;
  readonly runEnded: (status: 'SUCCEEDED' | 'FAILED', seconds: number) => void;
  readonly objectPut: (outcome: 'ok' | 'failed', seconds: number) => void;
  readonly mailSent: (outcome: 'sent' | 'deferred' | 'refused') => void;
}

export function addRuns(registers: Registry[]): RunMetrics {
  const attempts = new Counter({
    name: 'sluice_run_attempts_total',
    help: 'Attempts of runs that ended on this server: succeeded; failed, and with it the run; retried, failed and to be tried again; skipped, without anything to write; stopped, canceled or handed over.',
    labelNames: ['outcome'],
    registers,
  });
  for (const outcome of ['succeeded', 'failed', 'skipped', 'retried', 'stopped']) attempts.inc({ outcome }, 0);
  const seconds = new Histogram({
    name: 'sluice_run_attempt_duration_seconds',
    help: 'How long attempts of runs took.',
    labelNames: ['outcome'],
    buckets: [0.1, 0.5, 1, 5, 15, 60, 300, 1800, 7200],
    registers,
  });
  for (const outcome of ['succeeded', 'failed', 'skipped', 'retried', 'stopped']) seconds.zero({ outcome });
  const runs = new Histogram({
    name: 'sluice_run_duration_seconds',
    help: 'How long runs took that this server ended, SUCCEEDED or FAILED: from when the run was queued, so its waiting, all its attempts and the pauses between them. Those CANCELED are in sluice_runs_ended_total alone.',
    labelNames: ['status'],
    buckets: [0.5, 1, 5, 15, 60, 300, 900, 3600, 14_400],
    registers,
  });
  for (const status of ['SUCCEEDED', 'FAILED']) runs.zero({ status });
  const rows = new Counter({
    name: 'sluice_exported_rows_total',
    help: 'Rows that attempts of runs wrote, those that failed among them.',
    registers,
  });
  const bytes = new Counter({
    name: 'sluice_exported_bytes_total',
    help: 'Bytes of the objects that attempts of runs wrote, as they were stored.',
    registers,
  });
  const puts = new Histogram({
    name: 'sluice_put_object_duration_seconds',
    help: 'How long PutObject took, manifests too, by outcome (ok, failed).',
    labelNames: ['outcome'],
    buckets: [0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30],
    registers,
  });
  for (const outcome of ['ok', 'failed']) puts.zero({ outcome });
  const mails = new Counter({
    name: 'sluice_mails_total',
    help: 'Mails about runs: sent; deferred, to be tried again; refused for good.',
    labelNames: ['outcome'],
    registers,
  });
  for (const outcome of ['sent', 'deferred', 'refused']) mails.inc({ outcome }, 0);
  return {
    attemptEnded: (outcome, took, progress) => {
      attempts.inc({ outcome });
      seconds.observe({ outcome }, took);
      rows.inc(progress.rows);
      bytes.inc(progress.bytes);
    },
    runEnded: (status, took) => runs.observe({ status }, took),
    objectPut: (outcome, took) => puts.observe({ outcome }, took),
    mailSent: (outcome) => mails.inc({ outcome }),
  };
}
