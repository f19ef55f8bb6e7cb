import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestServer, type TestServer } from '../support/server.ts';
import { runSluice } from '../support/sluice-process.ts';
import { runInTerminal } from '../support/terminal.ts';

let server: TestServer;
let directory: string;

const settings = () => ({ SLUICE_URL: server.url, API_KEY: server.key });
const usage = (...args: string[]) => runSluice('cli', ['usage', ...args], settings());

const JANUARY = ['--from', '2026-01-01', '--to', '2026-01-06'];

/** Day of January, element, region, value. */
const RECORDS: [day: number, element: string, regions: string[], value: string][] = [
  [1, 'hooli', ['eu'], '0.1'],
  [2, 'hooli', ['eu'], '0.2'],
  [3, 'hooli', ['us'], '12345678901234567890.000000000001'],
  [2, 'acme', ['eu', 'us'], '7'],
  [4, '株式会社日本語テスト商事', ['eu'], '9007199254740993'],
];

beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api' } });
  directory = await mkdtemp(join(tmpdir(), 'sluice-usage-'));
  await server.graphql(`mutation ($input: AllocationInput!) { allocationSum(input: $input) { __typename } }`, {
    input: {
      stream: 'api-calls',
      records: RECORDS.map(([day, elementName, values, value]) => ({
        timestamp: `2026-01-0${day}T00:00:00Z`,
        granularity: 'DAILY',
        elementName,
        filter: [{ dimension: 'region', values }],
        value,
      })),
    },
  });
});
afterAll(async () => {
  await server.stop();
  await rm(directory, { recursive: true, force: true });
});

describe('usage command', () => {
  test('prints a line per group with exact sum, share and bars, largest first', async () => {
    expect(await usage('api-calls', ...JANUARY)).toEqual({
      code: 0,
      stderr: '',
      stdout: `api-calls by element, 2026-01-01 until 2026-01-06 (UTC), 5 days

ELEMENT                                                     TOTAL   SHARE  MIN                                      MAX  BY DAY
hooli                     12,345,678,901,234,567,890.300000000001   99.9%    0  12,345,678,901,234,567,890.000000000001  ▁▁█··
株式会社日本語テスト商事       9,007,199,254,740,993                 0.1%    0       9,007,199,254,740,993               ···█·
acme                                               7                <0.1%    0                           7               ·█···
all                       12,354,686,100,489,308,890.300000000001  100.0%    0  12,345,678,901,234,567,890.000000000001  ▁▁█▁·
One bar is one day. The bars of each line begin at 0 and have a scale of their own.
`,
    });
  });

  test('groups by several dimensions, with a filter, other buckets and a time zone', async () => {
    const flags = ['--by', 'region,element', '--filter', 'element=hooli', '--filter', 'element=acme'];
    const { stdout } = await usage('api-calls', ...JANUARY, ...flags, '--bucket', 'month', '--time-zone', 'Asia/Tokyo');
    expect(stdout.split('\n').slice(0, 4)).toEqual([
      'api-calls by region, element, 2026-01-01 until 2026-02-01 (Asia/Tokyo), 1 month',
      '',
      expect.stringMatching(/^REGION +ELEMENT +TOTAL +SHARE +MIN +MAX +BY MONTH$/),
      expect.stringMatching(/^us +hooli +12,345,678,901,234,567,890\.000000000001 +100\.0% /),
    ]);
    expect(stdout).toMatch(/^eu\|us +acme +7 +<0\.1% /m);
    expect(stdout).not.toContain('株式会社');
  });

  test('adds up the groups after --top in one line with their exact sum', async () => {
    const { stdout } = await usage('api-calls', ...JANUARY, '--top', '1');
    expect(stdout).toMatch(/^hooli /m);
    expect(stdout).toMatch(/^2 others +9,007,199,254,741,000 /m);
    expect(stdout).not.toMatch(/^acme/m);
  });

  test('prints JSON with every digit as text and a value per bucket', async () => {
    const { stdout } = await usage('api-calls', ...JANUARY, '--json');
    const answer = JSON.parse(stdout) as { groups: unknown[]; all: unknown };
    expect(answer).toMatchObject({
      stream: 'api-calls',
      from: '2026-01-01T00:00:00Z',
      to: '2026-01-06T00:00:00Z',
      bucketStarts: { length: 5 },
      others: null,
    });
    expect(answer.groups[0]).toEqual({
      group: { element: 'hooli' },
      total: '12345678901234567890.300000000001',
      share: '99.9%',
      min: '0',
      max: '12345678901234567890.000000000001',
      values: ['0.1', '0.2', '12345678901234567890.000000000001', '0', '0'],
    });
  });

  test.runIf(process.platform === 'linux')(
    'truncates names and leaves out columns, but never truncates figures, when the terminal is narrow',
    async () => {
      const { stdout, code } = await runInTerminal(['usage', 'api-calls', ...JANUARY], {
        columns: 70,
        settings: { ...settings(), NO_COLOR: '1' },
      });
      expect(code).toBe(0);
      expect(stdout.split('\n').slice(2)).toEqual([
        'ELEMENT                                          TOTAL   SHARE  BY DAY',
        'hooli          12,345,678,901,234,567,890.300000000001   99.9%  ▁▁█··',
        '株式会社日本…       9,007,199,254,740,993                 0.1%  ···█·',
        'acme                                    7                <0.1%  ·█···',
        'all            12,354,686,100,489,308,890.300000000001  100.0%  ▁▁█▁·',
        'One bar is one day. The bars of each line begin at 0 and have a scale of their own.',
        '',
      ]);
    },
  );

  test.runIf(process.platform === 'linux')('uses colours in a terminal, unless NO_COLOR is set', async () => {
    const run = (more: Record<string, string>) =>
      runInTerminal(['usage', 'api-calls', ...JANUARY], { columns: 120, settings: { ...settings(), ...more } });
    const [coloured, plain] = await Promise.all([run({}), run({ NO_COLOR: '1' })]);
    expect(coloured.stdout).toContain('\u001b[');
    expect(plain.stdout).not.toContain('\u001b[');
    // oxlint-disable-next-line no-control-regex -- the colours are what it takes out
    expect(coloured.stdout.replaceAll(/\u001b\[\d+m/g, '')).toBe(plain.stdout);
  });

  test('ends with the last whole bucket by default, and states which buckets a bar is', async () => {
    const first = new Date();
    const { stdout } = await usage('api-calls', '--bucket', 'week', '--range', '400d', '--json');
    const { to } = JSON.parse(stdout) as { to: string };
    expect([new Date(to).getUTCDay(), Date.parse(to) <= Date.now()]).toEqual([1, true]);
    expect(first.getTime() - Date.parse(to)).toBeLessThan(7 * 86_400_000);
    const hours = await usage('api-calls', ...JANUARY, '--bucket', 'hour');
    expect(hours.stdout).toMatch(/^One bar is the mean of 1 or 2 hours\. /m);
  });

  test('prints the range of records in the stream when the window has no usage', async () => {
    const nothing = await usage('api-calls', '--from', '2020-01-01', '--to', '2020-02-01');
    expect(nothing).toMatchObject({
      code: 0,
      stderr: 'No usage in this range. The stream has records from 2026-01-01T00:00:00Z to 2026-01-04T00:00:00Z.\n',
    });
  });

  test('explains why when it cannot return usage', async () => {
    const attempts: [args: string[], code: number, words: RegExp][] = [
      [['no-such'], 1, /^Stream "no-such" does not exist\.\n$/],
      [
        ['api-calls', '--group-by', 'element,size'],
        1,
        /^Stream "api-calls" does not have the dimension "size"\. It has: element, region\.\n$/,
      ],
      [['api-calls', '--range', '7d', '--from', '2026-01-01'], 2, /^Use either --range or --from\.\n$/],
      [['api-calls', '--from', '2026-13-01'], 2, /^--from must be a date such as 2026-01-25, /],
      [['api-calls', '--from', '2026-01-02', '--to', '2026-01-01'], 2, /^--to must be after --from\.\n$/],
      [['api-calls', '--top', '101'], 2, /Expected a whole number from 1 to 100\./],
      [['api-calls', '--range', 'long'], 2, /Expected a number with d, h or m, such as 30d or ago\(30d\)\./],
      [['api-calls', '--time-zone', 'EST+5'], 2, /"EST\+5" is not a name in the IANA time zone database/],
      [['api-calls', '--url', 'http://127.0.0.1:1'], 1, /^The server at http:\/\/127\.0\.0\.1:1 cannot be reached /],
    ];
    const outcomes = await Promise.all(attempts.map(([args]) => usage(...args)));
    expect(outcomes.map(({ code }) => code)).toEqual(attempts.map(([, code]) => code));
    for (const [index, { stderr }] of outcomes.entries()) expect(stderr).toMatch(attempts[index]![2]);
  });
});

describe('API key of a client command', () => {
  test('is that of a file, of API_KEY, or of local mode, which is not sent to other machines', async () => {
    const file = join(directory, 'api-key');
    await writeFile(file, `${server.key}\n`);
    const { port } = new URL(server.url);
    const run = (args: string[], env: Record<string, string>) => runSluice('cli', ['usage', 'api-calls', ...args], env);
    const [fromFile, ofLocalMode, elsewhere, none] = await Promise.all([
      run(['--url', `${server.url}/graphql`, '--key-file', file], {}),
      run([], { PORT: port, DATA_DIR: directory }),
      run(['--url', 'http://sluice.invalid'], { DATA_DIR: directory }),
      run([], { PORT: port, DATA_DIR: join(directory, 'nowhere') }),
    ]);
    expect([fromFile.code, ofLocalMode.code]).toEqual([0, 0]);
    expect(elsewhere).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^http:\/\/sluice\.invalid requires an API key\. /),
    });
    expect(none).toMatchObject({ code: 1, stderr: expect.stringMatching(/^No API key found\. /) });
  });

  test('is described by where it was found when the server rejects it', async () => {
    const file = join(directory, 'wrong-key');
    await writeFile(file, 'wrong\n');
    const url = { SLUICE_URL: server.url };
    const mistyped = `sluice_${'a'.repeat(43)}00000000`;
    const outcomes = await Promise.all([
      runSluice('cli', ['usage', 'api-calls'], { ...url, API_KEY: 'not-a-key' }),
      runSluice('cli', ['usage', 'api-calls'], { ...url, API_KEY: mistyped }),
      runSluice('cli', ['run', 'watch', 'x', '--key-file', file], url),
    ]);
    expect(outcomes).toEqual(
      [
        'in API_KEY. It is unknown or revoked',
        'in API_KEY. Its checksum does not match (typo?)',
        `in "${file}". It is unknown or revoked`,
      ].map((words) => ({
        code: 1,
        stdout: '',
        stderr: `The server at ${server.url} rejected the API key ${words}.\n`,
      })),
    );
  });
});
