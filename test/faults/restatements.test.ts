import { expect, test } from 'vitest';
import { inForm } from './chance.ts';
import { playInterleavings } from './interleavings.ts';
import { counted, tally } from './tally.ts';

/** Each has a random order of its own. */
const JOBS = inForm({ short: 100, full: 1000 });

test(
  'delivered files > equal the ledger at rest after random orders of corrections, runs, edits and kills',
  { timeout: inForm({ short: 600_000, full: 2_400_000 }) },
  async () => {
    const report = await playInterleavings({ name: 'interleavings', jobs: JOBS, concurrency: 24 });
    const { contradictions, stuck, shared, shrinking, miscounted, brokenPromises } = report;
    expect({ contradictions, stuck, shared, shrinking, miscounted, brokenPromises }).toEqual({
      contradictions: [],
      stuck: [],
      shared: [],
      shrinking: [],
      miscounted: [],
      brokenPromises: [],
    });
    expect(report.endedByThemselves).toEqual([]);
    // A third of the jobs is corrected when no run is left; most other corrections are in the next run before their check is due.
    expect(report.runs['RESTATEMENT SUCCEEDED']).toBeGreaterThan(JOBS / 10);
    expect(report.changesCompared).toBeGreaterThan(JOBS / 10);
    const count = (counts: Readonly<Record<string, number>>): number =>
      Object.values(counts).reduce((sum, one) => sum + one, 0);
    await tally({
      scenario: 11,
      done:
        `${counted(JOBS, 'jobs')} corrected, run, edited and canceled in random orders; four servers; SIGKILL ${counted(report.kills, 'times')}, ` +
        `${counted(report.cuts, 'connections')} to PostgreSQL reset, ${counted(report.delayed, 'statements')} delayed`,
      tried:
        `${counted(count(report.deliveries), 'deliveries')} and ${counted(count(report.runs), 'runs')}, of which ${counted(report.runs['RESTATEMENT SUCCEEDED'] ?? 0, 'restatements')} succeeded: files equal to \`usage\`, revisions that grow, ` +
        `stated changes of ${counted(report.changesCompared, 'revisions')}`,
      lost: contradictions.length + stuck.length,
      twice: shared.length + shrinking.length,
    });
  },
);
