import { expect, test } from 'vitest';
import { copyBroken, type Replacement } from './broken-source.ts';
import { type HeldRunReport, type HeldStep, playCanceledRun, playCutScan, playHeldRun } from './held-run.ts';
import { tally } from './tally.ts';

// The rules that keep delivered files equal to the ledger, each broken on purpose: the comparison of restatements.test.ts must notice.
// Each rule has the one order of events in which it matters, because random orders rarely meet it.

/** The cursor moves before the corrections are stored. */
const CURSOR_FIRST: Replacement = {
  file: 'src/deliveries/scan-ledger.ts',
  from: '  if (corrections.length > 0) {\n    await storeCorrections',
  to: '  await moveCursor(db, cursor, watermark, cursor.everySeconds);\n  if (corrections.length > 0) {\n    await storeCorrections',
};

/** Runs servers that break a rule, and keeps the row of the rule if the check does not fail. */
async function breakRule(
  rule: string,
  tried: string,
  broken: readonly Replacement[],
  check: (checkout: string) => Promise<void>,
): Promise<void> {
  const source = await copyBroken(broken);
  try {
    await check(source.checkout);
  } finally {
    await source.remove();
  }
  await tally({
    scenario: 12,
    done: `servers that break a rule on purpose: ${rule}`,
    tried: `noticed in one order, in which ${tried}`,
    lost: 0,
    twice: 0,
  });
}

/** Asserts that the window is CURRENT and lacks the correction. */
function expectLostCorrection({ contradictions, stuck, deliveries }: HeldRunReport): void {
  expect({ stuck, deliveries }).toEqual({ stuck: [], deliveries: ['CURRENT 1'] });
  expect(contradictions).toContainEqual(expect.stringContaining('hooli'));
}

test('servers of which it is not true that the cursor of a scan moves last > are noticed', () =>
  breakRule(
    'the cursor of a scan moves last',
    'the connection of a scan is reset before it stores a correction',
    [CURSOR_FIRST],
    async (checkout) => expectLostCorrection(await playCutScan(checkout)),
  ));

test('correction whose scan loses its connection before it stores it > is in the next revision', async () => {
  expect(await playCutScan()).toEqual({ contradictions: [], stuck: [], deliveries: ['CURRENT 2'] });
});

/** A revision is counted from that in the S3 bucket, not from the last one that a claim has taken. */
const REUSED_REVISION: Replacement = {
  file: 'src/deliveries/write-deliveries.ts',
  from: '(SELECT coalesce(max(last_revision), 0) + 1 FROM deliveries',
  to: '(SELECT coalesce(max(revision), 0) + 1 FROM deliveries',
};

test('servers of which it is not true that a revision is taken by the first claim of a run and never again > are noticed', () =>
  breakRule(
    'a revision is taken by the first claim of a run and never again',
    'a run is canceled after its complete manifest',
    [REUSED_REVISION],
    async (checkout) => expect(await playCanceledRun(checkout)).toEqual([1, 2, 2]),
  ));

test('revision of a run that was canceled after its complete manifest > is not given to another run', async () => {
  expect(await playCanceledRun()).toEqual([1, 2, 3]);
});

/** The end of a run clears the mark of a correction that the run does not see, with the time of its check. */
const CLEARED_MARK: Replacement = {
  file: 'src/deliveries/end-deliveries.ts',
  from:
    'SELECT CASE WHEN is_marked THEN coalesce(d.touched_at, clock_timestamp()) ELSE d.touched_at END,\n' +
    '            CASE WHEN is_marked OR d.touched_at IS NOT NULL THEN clock_timestamp() END\n',
  to: 'SELECT NULL::timestamptz, NULL::timestamptz\n',
};
/** The delivery is not inserted when its run is queued, as by a server of an earlier version. */
const WITHOUT_ROW: Replacement = {
  file: 'src/runs/runs.ts',
  from: '    insertDeliveries(tx, [values], now),\n',
  to: '    undefined,\n',
};
/** The claim inserts the delivery in its own transaction, after it has taken the watermark. */
const AFTER_WATERMARK: Replacement = {
  file: 'src/runs/claim.ts',
  from: '      const starting = tx\n',
  to: '      await insertMissingDelivery(tx as unknown as Db, first, now);\n      const starting = tx\n',
};

const HELD_RULES: readonly {
  readonly rule: string;
  readonly step: HeldStep;
  readonly broken: readonly Replacement[];
}[] = [
  { rule: 'only the check clears marks', step: 'PutObject', broken: [CLEARED_MARK] },
  {
    rule: 'the row of a delivery is committed before the watermark',
    step: 'COMMIT',
    broken: [WITHOUT_ROW, AFTER_WATERMARK],
  },
];

test.each(HELD_RULES)('servers of which it is not true that $rule > are noticed', ({ rule, step, broken }) =>
  breakRule(rule, `${step} of a run is held until a scan has passed a correction`, broken, async (checkout) =>
    expectLostCorrection(await playHeldRun(step, checkout)),
  ),
);

test.each(HELD_RULES)(
  'correction that a scan passes before $step of a run > is in the next revision',
  async ({ step }) => {
    expect(await playHeldRun(step)).toEqual({ contradictions: [], stuck: [], deliveries: ['CURRENT 2'] });
  },
);

test('correction that a scan passes before COMMIT of a claim that finds no delivery > is in the first revision', async () => {
  const source = await copyBroken([WITHOUT_ROW]);
  try {
    const report = await playHeldRun('COMMIT', source.checkout);
    expect(report).toEqual({ contradictions: [], stuck: [], deliveries: ['CURRENT 1'] });
  } finally {
    await source.remove();
  }
});
