import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestServer, type TestServer } from '../support/server.ts';
import { SLUICE_CLI, sluiceEnvironment } from '../support/sluice-process.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api' } });
});
afterAll(() => server.stop());

const ingest = async (content: string | Buffer, stream: string, ...flags: string[]) => {
  const child = spawn(process.execPath, [SLUICE_CLI, 'ingest', '-', '--stream', stream, ...flags], {
    env: sluiceEnvironment({ SLUICE_URL: server.url, API_KEY: server.key }),
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  child.stdin.end(content);
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  return { code: code as number, stdout, stderr };
};

const liveOf = async (stream: string): Promise<string[]> => {
  const { stream: found } = await server.graphql<{
    stream: {
      records: {
        edges: {
          node: {
            timestamp: string;
            elementName: string;
            filter: { dimension: string; values: string[] }[];
            value: string;
          };
        }[];
      };
    } | null;
  }>(
    `query ($stream: String!) {
      stream(name: $stream) {
        records(first: 100) { edges { node { timestamp elementName filter { dimension values } value } } }
      }
    }`,
    { stream },
  );
  return (found?.records.edges ?? [])
    .map(
      ({ node }) =>
        `${node.timestamp.slice(0, 10)} ${node.elementName} ${node.filter.map(({ dimension, values }) => `${dimension}=${values.join('|')}`).join(' ')} ${node.value}`,
    )
    .toSorted();
};

const GERMAN = ['--decimal-comma', '--date-format', 'DD.MM.YYYY'];
const STORED = ['2026-01-25 hooli region=eu 1200.5', '2026-01-26 initech region=üs 0.25'];

describe('ingest of a spreadsheet', () => {
  const rows = 'date;element;region;value\r\n25.01.2026;hooli;eu;1200,5\r\n26.01.2026;initech;üs;0,25\r\n';
  const tabbed = rows.replaceAll(';', '\t');
  const english = rows
    .replaceAll(/(\d),/g, '$1.')
    .replaceAll(';', ',')
    .replaceAll(/(\d\d)\.(\d\d)\.2026/g, '$2/$1/2026');

  test.each<[what: string, content: string | Buffer, flags: string[], reading: string]>([
    ['CSV UTF-8 with semicolons', `\ufeff${rows}`, GERMAN, 'Reading CSV in UTF-8, separated by ";": '],
    ['CSV with a line sep=', `\ufeffsep=;\r\n${rows}`, GERMAN, 'Reading CSV in UTF-8, separated by ";": '],
    ['Unicode text', Buffer.from(`\ufeff${tabbed}`, 'utf16le'), GERMAN, 'Reading CSV in UTF-16LE, separated by tab: '],
    [
      'Unicode text of the other order, without a byte order mark',
      Buffer.from(tabbed, 'utf16le').swap16(),
      GERMAN,
      'Reading CSV in UTF-16BE, separated by tab: ',
    ],
    ['American CSV', `\ufeff${english}`, ['--date-format', 'MM/DD/YYYY'], 'Reading CSV in UTF-8, separated by ",": '],
  ])('stores %s with at most two options and shows how it was read', async (what, content, flags, reading) => {
    const stream = `sheet-${what.replaceAll(/[^a-zA-Z]/g, '-')}`;
    const { code, stdout, stderr } = await ingest(content, stream, ...flags);
    expect(stderr).toBe('');
    expect(stdout.split('\n')[0]).toBe(
      `${reading}timestamp "date", element "element", value "value", granularity daily; dimensions "region".`,
    );
    expect(code).toBe(0);
    expect(await liveOf(stream)).toEqual(STORED);
  });
});

describe('ingest --encoding', () => {
  const header = 'date,element,value,granularity\n';
  const file = Buffer.concat([
    Buffer.from(`${header}2026-01-25,M`),
    Buffer.from([0xfc, 0x80]),
    Buffer.from(',1,daily\n'),
  ]);

  test('is named when the file is neither UTF-8 nor UTF-16, and decodes it', async () => {
    const refused = await ingest(file, 'encoded');
    expect(refused.stderr).toContain(
      '\nLine 2: Is not UTF-8. Name the encoding of the file, such as --encoding windows-1252 ',
    );
    expect(refused.code).toBe(1);
    const { stdout, stderr } = await ingest(file, 'encoded', '--encoding', 'windows-1252');
    expect(stderr).toBe('');
    expect(stdout).toContain('Reading CSV in WINDOWS-1252, ');
    expect(await liveOf('encoded')).toEqual(['2026-01-25 Mü€  1']);
  });

  test('is rejected when it is unknown, and when the file has other bytes', async () => {
    expect(await ingest(file, 'none', '--encoding', 'windows-99')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('Expected the name of an encoding, such as windows-1252, utf-8 or utf-16le.'),
    });
    expect((await ingest(Buffer.from([0x61, 0x80]), 'none', '--encoding', 'shift_jis')).stderr).toContain(
      'The file is not SHIFT_JIS.',
    );
  });
});

describe('ingest --column', () => {
  const daily = ['--granularity', 'daily'];
  const file = 'Day,Customer,Region,value\n2026-01-25,hooli,eu,1\n';
  const roles = ['--column', 'timestamp=Day', '--column', 'element=Customer'];

  test('maps a column to a dimension of another name', async () => {
    const outcome = await ingest(file, 'mapped', ...daily, ...roles, '--column', 'region=Region');
    expect(outcome).toMatchObject({ code: 0, stderr: '' });
    expect(outcome.stdout).toContain('; dimensions "region" from "Region".\n');
    expect(await liveOf('mapped')).toEqual(['2026-01-25 hooli region=eu 1']);
  });

  test('reports the column and cell when a mapped dimension is rejected by the server', async () => {
    const { code, stderr } = await ingest(
      file.replace(',eu', `,${'e'.repeat(257)}`),
      'mapped',
      ...daily,
      ...roles,
      '--column',
      'region=Region',
    );
    expect(stderr).toContain('\nLine 2, column "Region", cell "eeeee');
    expect(code).toBe(1);
  });

  test('lists the columns that were found and all that are needed in one message', async () => {
    const { code, stderr } = await ingest('Day;Customer;value\n', 'none');
    expect(stderr).toBe(
      [
        'Nothing was stored.',
        'No columns are the timestamp and the element. Name them with --column timestamp=NAME --column element=NAME. No column is the granularity. Set that of all records with --granularity hourly, daily or monthly.',
        'A file needs: timestamp (missing), element (missing), value ("value"), granularity (missing). Other columns are dimensions.',
        'The header has: "Day", "Customer", "value", separated by ";".',
        '',
      ].join('\n'),
    );
    expect(code).toBe(1);
  });

  test('is rejected when another column has the name of the dimension', async () => {
    const header = 'date,element,value,region,Region\n';
    const { code, stderr } = await ingest(header, 'none', ...daily, '--column', 'region=Region');
    expect(stderr).toContain(
      '\n"region" and "Region" could both be the dimension "region". Ignore one with --ignore.\n',
    );
    expect(code).toBe(1);
  });
});

describe('ingest --round', () => {
  const file = 'date,element,value,granularity\n2026-01-25,a,1.005,daily\n2026-01-26,a,2.5,daily\n';

  test('rounds half up, also values with more decimals than the server accepts', async () => {
    const long = file.replace('1.005', `1.00${'4'.repeat(40)}`);
    expect(await ingest(file, 'rounded', '--round', '2')).toMatchObject({ code: 0, stderr: '' });
    expect(await ingest(long, 'rounded-long', '--round', '2')).toMatchObject({ code: 0, stderr: '' });
    expect(await liveOf('rounded')).toEqual(['2026-01-25 a  1.01', '2026-01-26 a  2.5']);
    expect(await liveOf('rounded-long')).toEqual(['2026-01-25 a  1', '2026-01-26 a  2.5']);
  });

  test('sends the same request when no value has more decimals, and another when one has', async () => {
    const same = await ingest(file, 'rounded-again', '--round', '3');
    expect(same.stdout).toContain('up to line 3, stored\n');
    expect((await ingest(file, 'rounded-again')).stdout).toContain('up to line 3, already stored\n');
    expect((await ingest(file, 'rounded-again', '--round', '2')).stdout).toContain('up to line 3, stored\n');
    expect((await ingest(file, 'rounded-again', '--round', '2')).stdout).toContain('up to line 3, already stored\n');
  });

  test('is rejected for NDJSON, like other options for CSV', async () => {
    const { code, stderr } = await ingest('{"timestamp":"2026-01-25"}\n', 'none', '--round', '2');
    expect(stderr).toBe(
      'Nothing was stored.\n--round is an option for CSV, and the input is NDJSON. Remove it, or use --format csv.\n',
    );
    expect(code).toBe(1);
  });
});

describe('ingest --dry-run', () => {
  const header = 'date,element,region,value,granularity';
  const file = `${header}\n2026-01-25,a,eu,12345678901234567890.000000000000000001,daily\n2026-01-27,b,eu,0.1,daily\n2026-01-27,a,eu,0.2,DAILY\n`;

  test('prints what would be stored, and stores nothing', async () => {
    const { code, stdout, stderr } = await ingest(
      file,
      'dry',
      '--dry-run',
      '--part',
      '2',
      '--url',
      'http://127.0.0.1:1',
    );
    expect(stderr).toBe('');
    expect(stdout).toBe(
      [
        'Reading CSV in UTF-8, separated by ",": timestamp "date", element "element", value "value", granularity "granularity"; dimensions "region".',
        'Dry run for "dry". Nothing was stored.',
        'Records:    3 in 2 parts',
        'Buckets:    2 daily, 2026-01-25T00:00:00Z to 2026-01-27T00:00:00Z',
        'Dimensions: region',
        'Elements:   2',
        'Sum:        12345678901234567890.300000000000000001',
        '',
      ].join('\n'),
    );
    expect(code).toBe(0);
    expect(await liveOf('dry')).toEqual([]);
  });

  test('prints one JSON object with --json', async () => {
    const { stdout, stderr } = await ingest(file, 'dry', '--dry-run', '--json', '--round', '1');
    expect(JSON.parse(stdout)).toEqual({
      stream: 'dry',
      kind: 'sum',
      dryRun: true,
      records: 3,
      granularity: 'DAILY',
      dimensions: ['region'],
      buckets: 2,
      from: '2026-01-25T00:00:00Z',
      to: '2026-01-27T00:00:00Z',
      elements: 2,
      sum: '12345678901234567890.3',
      duplicatesChecked: true,
      parts: 1,
      roundedValues: 1,
      reading: {
        format: 'csv',
        encoding: 'UTF-8',
        delimiter: ',',
        columns: {
          timestamp: 'date',
          element: 'element',
          value: 'value',
          granularity: 'granularity',
          dimensions: { region: 'region' },
        },
      },
    });
    expect(stderr).toMatch(/^Reading CSV /);
  });

  test('reports the same problems as the server', async () => {
    const ndjson = (fields: string): string => `{"timestamp":"2026-01-25","granularity":"DAILY",${fields}}`;
    const contents = [
      `${header}\n25.01.2026,a,eu,1,daily\n2026-01-25,${'e'.repeat(257)},eu,1,daily\n2999-01-25,a,eu,1,daily\n2026-01-25,a,eu,1,hourly\n`,
      `${header}\n2026-01-25,a\tb,eu,1,weekly\n2026-01-25,a,\u0000,1,daily\n`,
      `${ndjson('"element-name":"a","value":"1"')}\n${ndjson('"element-name":"a","filter":{"x":["1"]},"value":"1"')}\n`,
      `{"timestamp":1}\nnothing\n${ndjson('"element-name":"\\ud800","value":1.2345678901234567')}\n`,
      `${ndjson('"element-name":"a","element-name":"b","value":"1"')}\n`,
    ];
    for (const content of contents) {
      const [sent, dry] = [await ingest(content, 'same'), await ingest(content, 'same', '--dry-run')];
      expect([sent.code, dry.code]).toEqual([1, 1]);
      expect(dry.stderr).toMatch(/^Line /);
      expect(`Nothing was stored.\n${dry.stderr}`).toBe(sent.stderr);
    }
  });

  test('reports all invalid lines of all parts, and repeated record keys of a replace', async () => {
    const parts = `${header}\n2026-01-25,a,eu,x,daily\n2026-01-25,b,eu,1,daily\n2026-01-25,c,eu,y,daily\n`;
    const { stderr } = await ingest(parts, 'dry', '--dry-run', '--part', '1');
    expect(stderr.match(/^Line \d+/gm)).toEqual(['Line 2', 'Line 4']);
    const repeated = `${header}\n2026-01-25,a,eu,1,daily\n2026-01-25,b,eu,1,daily\n2026-01-25T00:00:00Z,a,eu,2,daily\n`;
    expect((await ingest(repeated, 'dry', '--dry-run', '--kind', 'replace')).stderr).toContain(
      'Line 4: Line 4 has the same bucket, filter and element as line 2. A replace takes one value for each.\n',
    );
    expect(await ingest(repeated, 'dry', '--dry-run')).toMatchObject({ code: 0 });
    const replace = await ingest(file, 'dry', '--dry-run', '--json', '--kind', 'replace');
    expect(JSON.parse(replace.stdout)).toMatchObject({
      kind: 'replace',
      records: 3,
      parts: 1,
      duplicatesChecked: true,
    });
    expect(await ingest(`${header}\n`, 'dry', '--dry-run')).toMatchObject({
      code: 1,
      stderr: 'The input contains no records.\n',
    });
  });
});

test('ingest --json prints one object, and its progress to standard error', async () => {
  const file = 'date,element,value,granularity\n2026-01-25,a,1,daily\n2026-01-26,a,2,daily\n';
  const { code, stdout, stderr } = await ingest(file, 'as-json', '--json', '--part', '1');
  expect(JSON.parse(stdout)).toMatchObject({
    stream: 'as-json',
    kind: 'sum',
    records: 2,
    parts: 2,
    replayedRecords: 0,
    hiddenRecords: 0,
    lastLine: 3,
    roundedValues: 0,
    reading: { format: 'csv', encoding: 'UTF-8', delimiter: ',' },
  });
  expect(stderr).toMatch(/^Reading CSV .*\nPart 1: 1 record, up to line 2, stored\nPart 2: .*\n$/);
  expect(code).toBe(0);
});
