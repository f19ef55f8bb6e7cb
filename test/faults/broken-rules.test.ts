import { expect, test } from 'vitest';
import { type BrokenSource, copyBroken, type Replacement } from './broken-source.ts';
import { inForm } from './chance.ts';
import { type InterleavingReport, playInterleavings } from './interleavings.ts';
import { counted, tally } from './tally.ts';

// The rules that keep delivered files equal to the ledger, each broken on purpose: the scenario of restatements.test.ts must notice.

interface BrokenRule {
  readonly rule: string;
  readonly replacements: readonly Replacement[];
  /** The list of the report that must not be empty. */
  readonly symptom: 'contradictions' | 'shared';
}

const RULES: readonly BrokenRule[] = [
  {
    rule: 'only the check clears marks',
    replacements: [
      {
        file: 'src/deliveries/end-deliveries.ts',
        from: 'touched_at = CASE WHEN ${isMarked} THEN coalesce(d.touched_at, clock_timestamp()) ELSE d.touched_at END,',
        to: 'touched_at = NULL,',
      },
    ],
    symptom: 'contradictions',
  },
  {
    rule: 'a revision is taken by the first claim of a run and never again',
    replacements: [
      {
        file: 'src/deliveries/write-deliveries.ts',
        from: '(SELECT coalesce(max(last_revision), 0) + 1 FROM deliveries',
        to: '(SELECT coalesce(max(revision), 0) + 1 FROM deliveries',
      },
    ],
    symptom: 'shared',
  },
  {
    rule: 'the cursor of a scan moves last',
    replacements: [
      {
        file: 'src/deliveries/scan-ledger.ts',
        from: '  if (corrections.length > 0) {\n    await storeCorrections',
        to: '  await moveCursor(db, cursor, watermark, cursor.everySeconds);\n  if (corrections.length > 0) {\n    await storeCorrections',
      },
    ],
    symptom: 'contradictions',
  },
];

const JOBS = inForm({ short: 60, full: 100 });
const ROUNDS = 4;

test.each(RULES)(
  'servers of which it is not true that $rule > are noticed',
  async ({ rule, replacements, symptom }) => {
    let broken: BrokenSource | undefined;
    try {
      broken = await copyBroken(replacements);
      let found: InterleavingReport | undefined;
      let played = 0;
      while (played < ROUNDS * JOBS && !found?.[symptom].length) {
        found = await playInterleavings({
          name: `${rule} ${played}`,
          jobs: JOBS,
          concurrency: 24,
          checkout: broken.checkout,
          restMs: 30_000,
        });
        played += JOBS;
      }
      expect(found?.[symptom]).not.toEqual([]);
      await tally({
        scenario: 12,
        done: `servers that break a rule on purpose: ${rule}`,
        tried: `noticed ${counted(found?.[symptom].length ?? 0, 'times')} in at most ${counted(played, 'orders')}`,
        lost: 0,
        twice: 0,
      });
    } finally {
      await broken?.remove();
    }
  },
);
