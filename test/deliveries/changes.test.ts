import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { compareUtf8 } from '../../src/lib/compare-utf8.ts';
import { subtractDecimals, sumDecimals } from '../../src/lib/decimal.ts';
import { type Command, history, question, type Shape, shapeAt, STREAM_NAMES } from '../streams/random-requests.ts';
import { deleteStream, write } from '../streams/writes.ts';
import {
  createJob,
  endedRun,
  jobSettings,
  querySql,
  runJob,
  type RunView,
  type Settings,
} from '../support/job-steps.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';

// The changes of a revision, for random ledgers and jobs, compared with the rows of the files before and after.

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ env: { LEDGER_SCAN_SECONDS: '1', LEDGER_SCAN_IDLE_SECONDS: '1' } });
});
afterAll(() => server.stop());

const SLOT = '2026-02-03T05:00:00Z';
const RANGES = { HOUR: 'ago(4d)', DAY: 'ago(35d)', WEEK: 'ago(35d)', MONTH: 'ago(95d)' };

const scenario = fc.record({
  ledger: history,
  /** Commands before the first revision. */
  first: fc.nat(6),
  question,
  names: fc.constantFrom(null, null, ['usage.v1']),
  /** Whether the scan of the ledger has found the operations. */
  isScanned: fc.boolean(),
});

let cases = 0;

async function play(commands: readonly Command[], shapes: Map<string, Shape>, next: () => Shape) {
  const shapeOf = (name: string): Shape => {
    const shape = shapes.get(name) ?? next();
    shapes.set(name, shape);
    return shape;
  };
  for (const command of commands) {
    // Requests that are rejected change nothing.
    if (command.do === 'deleteStream') {
      await deleteStream(server, command.name);
      shapes.delete(command.name);
    } else if ('input' in command) await write(server, command.do, { ...command.input(shapeOf), idempotencyKey: null });
  }
}

async function runOnce(jobId: string): Promise<RunView> {
  return endedRun(server, await runJob(server, jobId, SLOT));
}

/** Rows by meter: the line without its value, and the value. */
type Rows = Map<string, Map<string, string>>;

function readRows(run: RunView): Rows {
  const rows: Rows = new Map();
  for (const { key } of run.objects) {
    for (const line of (server.s3.object('exports', key)?.body.toString() ?? '').split('\n')) {
      if (line === '') continue;
      const [, keys = '', value = ''] = /^(.*),"value":([^,]*)\}$/.exec(line) ?? [];
      const { meterApiName } = JSON.parse(line) as { meterApiName: string };
      rows.set(meterApiName, (rows.get(meterApiName) ?? new Map<string, string>()).set(keys, value));
    }
  }
  return rows;
}

/** Parses a manifest with its numbers as texts. */
function readManifest(run: RunView): { reason: { operationCount: string }; changes: object; revision: string } {
  const text = server.s3.object('exports', run.manifestKey ?? '')?.body.toString() ?? '';
  const keepDigits = (_: string, value: unknown, context: { source: string }): unknown =>
    typeof value === 'number' ? context.source : value;
  return JSON.parse(text, keepDigits as (key: string, value: unknown) => unknown) as ReturnType<typeof readManifest>;
}

function compare(before: Rows, after: Rows) {
  const meters = [...new Set([...before.keys(), ...after.keys()])].toSorted(compareUtf8).flatMap((meterApiName) => {
    const old = before.get(meterApiName) ?? new Map<string, string>();
    const now = after.get(meterApiName) ?? new Map<string, string>();
    const added = [...now.keys()].filter((key) => !old.has(key)).length;
    const removed = [...old.keys()].filter((key) => !now.has(key)).length;
    const changed = [...now].filter(([key, value]) => old.has(key) && old.get(key) !== value).length;
    if (added + removed + changed === 0) return [];
    const [valueBefore, valueAfter] = [sumDecimals([...old.values()]), sumDecimals([...now.values()])];
    const difference = subtractDecimals(valueAfter, valueBefore);
    return [
      {
        meterApiName,
        rowsAdded: added,
        rowsRemoved: removed,
        rowsChanged: changed,
        valueBefore,
        valueAfter,
        difference,
      },
    ];
  });
  const sum = (field: 'rowsAdded' | 'rowsRemoved' | 'rowsChanged') =>
    meters.reduce((total, meter) => total + meter[field], 0);
  return {
    rowsAdded: sum('rowsAdded'),
    rowsRemoved: sum('rowsRemoved'),
    rowsChanged: sum('rowsChanged'),
    meterCount: meters.length,
    meters,
  };
}

const asTexts = (value: object): unknown =>
  JSON.parse(JSON.stringify(value), (_, one: unknown) => (typeof one === 'number' ? String(one) : one));

const RUNS = Number(process.env['CHANGES_RUNS'] ?? 12);

test(
  'changes of a revision > are the differences between the files, for any ledger and job',
  { timeout: 600_000 },
  async () => {
    let compared = 0;
    await fc.assert(
      fc.asyncProperty(scenario, async ({ ledger, first, question: asked, names, isScanned }) => {
        await Promise.all(STREAM_NAMES.map((name) => deleteStream(server, name)));
        cases += 1;
        const shapes = new Map<string, Shape>();
        let index = ledger.firstShape;
        const next = (): Shape => shapeAt(index++);
        const settings = (sparse: boolean): Settings =>
          jobSettings({
            s3Url: `exports/${cases}`,
            jobName: `Changes ${cases} ${sparse}`,
            format: 'NDJSON',
            range: RANGES[asked.aggregationBucket],
            aggregationBucket: asked.aggregationBucket,
            timeZone: asked.timeZone,
            meterApiNames: names,
            groupBy: asked.groupBy,
            filter: asked.filter,
            sparse,
            rescaleFunction:
              asked.coefficient === null ? null : { function: 'MULTIPLY', coefficient: asked.coefficient },
          });
        await play(ledger.commands.slice(0, first), shapes, next);
        const jobId = await createJob(server, settings(asked.sparse));
        // Rows that are filled with zeros do not count.
        const sparseId = asked.sparse ? jobId : await createJob(server, settings(true));
        await runOnce(jobId);
        const before = readRows(await runOnce(sparseId));
        await play(ledger.commands.slice(first), shapes, next);
        if (isScanned) {
          const since = new Date();
          await eventually(
            () =>
              querySql<{ isDone: boolean }>(
                server,
                'SELECT bool_and(scanned_at > $1) AS "isDone" FROM ledger_cursors',
                [since],
              ),
            ([row]) => row?.isDone === true,
            30_000,
          );
        }
        const run = await runOnce(jobId);
        const sparseRun = asked.sparse ? run : await runOnce(sparseId);
        const expected = compare(before, readRows(sparseRun));
        const { changes, reason } = readManifest(run);
        expect(changes).toEqual(asTexts(expected));
        if (expected.meterCount > 0) expect(Number(reason.operationCount)).toBeGreaterThan(0);
        compared += expected.meterCount;
      }),
      { numRuns: RUNS, endOnFailure: true },
    );
    expect(compared).toBeGreaterThan(0);
  },
);
