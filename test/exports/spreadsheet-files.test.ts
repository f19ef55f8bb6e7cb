import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  addRecords,
  createJob,
  exportAgain,
  exportOnce,
  filterOf,
  type Settings,
  updateJob,
} from '../support/job-steps.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

const SLOT = '2026-01-28T02:00:00Z';
const TIMES = ['2026-01-25T00:00:00Z', '2026-01-26T00:00:00Z'];
const COMMAND = `=cmd|'/c calc'!A1`;

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
  const at = { timestamp: TIMES[0] ?? '' };
  await addRecords(
    server,
    '-finance',
    'DAILY',
    [COMMAND, '+1', '-1', '@SUM(A1)', 'Müller', 'a,b', 'a;b', 'say "x"', "'quoted'", 'a=b'].map(
      (elementName, index) => ({
        ...at,
        filter: filterOf({ '=region': index === 0 ? ['=eu', 'us'] : 'plain' }),
        elementName,
        value: String(index + 1),
      }),
    ),
  );
});
afterAll(() => server.stop());

const settings = { meterApiNames: ['-finance'], groupBy: ['element', '=region'] };

/** Lines of the file without header, cut at the groups. */
const groupsOf = (text: string, delimiter: string): string[] => {
  const start = ["'-finance", ...TIMES].join(delimiter) + delimiter;
  return text
    .split('\r\n')
    .slice(1, -1)
    .map((line) => {
      expect(line.startsWith(start)).toBe(true);
      return line.slice(start.length);
    });
};

const exported = async (more: Settings): Promise<string> =>
  (await exportOnce(server, { ...settings, ...more }, SLOT)).text;

describe('csvDialect EXCEL', () => {
  test('begins with a byte order mark, ends lines with CRLF and escapes texts that spreadsheets execute', async () => {
    const text = await exported({ csvDialect: 'EXCEL' });
    expect(text.split('\r\n')[0]).toBe("\ufeffmeterApiName,bucketStart,bucketEnd,element,'=region,value");
    expect(text).not.toMatch(/[^\r]\n|\r[^\n]/);
    expect(groupsOf(text, ',')).toEqual([
      `'quoted',plain,9`,
      `'+1,plain,2`,
      `'-1,plain,3`,
      `'=cmd|'/c calc'!A1,'=eu|us,1`,
      `'@SUM(A1),plain,4`,
      `Müller,plain,5`,
      `"a,b",plain,6`,
      `a;b,plain,7`,
      `a=b,plain,10`,
      `"say ""x""",plain,8`,
    ]);
  });

  test('escapes no value and no timestamp', async () => {
    const text = await exported({ csvDialect: 'EXCEL', rescaleFunction: { function: 'MULTIPLY', coefficient: '-1' } });
    expect(groupsOf(text, ',').map((line) => line.split(',').at(-1))).toContain('-1');
    expect(text).not.toContain("'-1,plain,'");
  });

  test('gives every part of the file its header, and empties a stale part with it', async () => {
    const small = await startTestServer({ env: { EXPORT_PART_BYTES: '1024' } });
    try {
      const records = Array.from({ length: 40 }, (_, index) => ({
        timestamp: TIMES[0] ?? '',
        elementName: `=customer ${index}`,
        value: '1',
      }));
      await addRecords(small, 'parts', 'DAILY', records);
      const jobId = await createJob(small, { meterApiNames: ['parts'], groupBy: ['element'], csvDialect: 'EXCEL' });
      const { bodies } = await exportAgain(small, jobId, SLOT);
      const header = '\ufeffmeterApiName,bucketStart,bucketEnd,element,value\r\n';
      expect(bodies.length).toBeGreaterThan(1);
      expect(bodies.every((body) => body.toString().startsWith(header) && body.length <= 1024)).toBe(true);
      expect(bodies.flatMap((body) => body.toString().slice(header.length).split('\r\n').slice(0, -1)).length).toBe(40);
      await updateJob(small, jobId, { filter: filterOf({ element: '=customer 1' }), csvDelimiter: 'SEMICOLON' });
      const again = await exportAgain(small, jobId, SLOT);
      expect(again.bodies.slice(1).map(String)).toEqual(bodies.map(() => header.replaceAll(',', ';')));
    } finally {
      await small.stop();
    }
  });
});

describe('csvDelimiter SEMICOLON', () => {
  test('quotes cells that contain a semicolon, and none that contains a comma', async () => {
    const text = await exported({ csvDelimiter: 'SEMICOLON' });
    const lines = text.split('\n');
    expect(lines[0]).toBe('meterApiName;bucketStart;bucketEnd;element;=region;value');
    expect(lines).toContain(`-finance;${TIMES.join(';')};"a;b";plain;7`);
    expect(lines).toContain(`-finance;${TIMES.join(';')};a,b;plain;6`);
    expect(lines).toContain(`-finance;${TIMES.join(';')};${COMMAND};=eu|us;1`);
  });

  test('quotes and escapes in EXCEL too', async () => {
    const text = await exported({ csvDialect: 'EXCEL', csvDelimiter: 'SEMICOLON' });
    expect(text.split('\r\n')[0]).toBe("\ufeffmeterApiName;bucketStart;bucketEnd;element;'=region;value");
    expect(groupsOf(text, ';')).toEqual(
      expect.arrayContaining([`"a;b";plain;7`, `a,b;plain;6`, `'=cmd|'/c calc'!A1;'=eu|us;1`]),
    );
  });
});
