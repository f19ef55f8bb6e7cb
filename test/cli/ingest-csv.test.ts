import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { to as copyTo } from 'pg-copy-streams';
import { withClient } from '../support/postgres-admin.ts';
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

interface Live {
  readonly timestamp: string;
  readonly elementName: string;
  readonly filter: readonly { readonly dimension: string; readonly values: readonly string[] }[];
  readonly value: string;
}

const liveOf = async (stream: string): Promise<string[]> => {
  const { stream: found } = await server.graphql<{ stream: { records: { edges: { node: Live }[] } } | null }>(
    `query ($stream: String!) {
      stream(name: $stream) {
        records(first: 100) { edges { node { timestamp elementName filter { dimension values } value } } }
      }
    }`,
    { stream },
  );
  return (found?.records.edges ?? [])
    .map(({ node }) =>
      [
        node.timestamp.replace(':00:00Z', '').replace('T00', ''),
        node.elementName,
        ...node.filter.map(({ dimension, values }) => `${dimension}=${values.join('|')}`),
        node.value,
      ].join(' '),
    )
    .toSorted();
};

const DAILY = ['--granularity', 'daily'];
const STORED = ['2026-01-25 hooli region=eu 1200.5', '2026-01-26 initech region=us 0.25'];

describe('ingest of CSV', () => {
  const german = 'Datum;element;region;value\r\n25.01.2026;hooli;eu;1200,5\r\n26.01.2026;initech;us;,25\r\n;;;\r\n';
  const germanFlags = ['--column', 'timestamp=Datum', '--date-format', 'DD.MM.YYYY', '--decimal-comma'];
  const rows = 'hooli,eu,1200.5\n2026-01-26,initech,us,0.25';

  test.each<[what: string, content: string | Buffer, flags: string[]]>([
    ['semicolons, decimal commas and dates of its own', german, germanFlags],
    ['the same in UTF-16 with a byte order mark', Buffer.from(`\ufeff${german}`, 'utf16le'), germanFlags],
    ['tabs', `date,element,region,value\n2026-01-25,${rows}`.replaceAll(',', '\t'), []],
    [
      'a line sep=',
      `sep=|\nnotes, dates|element|region|value\n2026-01-25,${rows}`.replaceAll(/(?<!notes),/g, '|'),
      ['--column', 'timestamp=notes, dates'],
    ],
    ['no header', `2026-01-25,${rows}`, ['--header', 'date,element,region,value']],
    [
      'American dates of twelve hours',
      `date,element,region,value\n1/25/2026 11:05 PM,${rows.replace('2026-01-26', '1/26/2026 1:05 AM')}`,
      ['--date-format', 'M/D/YYYY h:mm A'],
    ],
  ])('stores the records of a file with %s', async (what, content, flags) => {
    const stream = `form-${what.replaceAll(/[^a-zA-Z]/g, '-')}`;
    expect(await ingest(content, stream, ...DAILY, ...flags)).toMatchObject({ code: 0, stderr: '' });
    expect(await liveOf(stream)).toEqual(STORED);
  });

  test('stores the output of COPY in CSV and in text format, including NULL and special characters', async () => {
    const query = `SELECT * FROM (VALUES
      (timestamptz '2026-01-25 00:00:00+00', E'tab and \\\\ back', 'a;b', 1.5::numeric),
      (timestamptz '2026-01-26 00:00:00+00', 'say "x"', NULL, 2)) AS t ("timestamp", element, region, value)`;
    const copied = (options: string): Promise<string> =>
      withClient(server.database.url, async (client) => {
        await client.query(`SET TimeZone = 'Europe/Berlin'`);
        return text(client.query(copyTo(`COPY (${query}) TO STDOUT WITH (${options})`)));
      });
    const flags = [...DAILY, '--empty-as', 'none'];
    const expected = [String.raw`2026-01-25 tab and \ back region=a;b 1.5`, '2026-01-26 say "x" region=none 2'];
    const attempts: [name: string, options: string, flags: string[]][] = [
      ['csv', 'FORMAT csv, HEADER', []],
      ['csv-without-header', 'FORMAT csv', ['--header', 'timestamp,element,region,value']],
      ['csv-null', String.raw`FORMAT csv, HEADER, NULL '\N'`, []],
      ['text', 'FORMAT text, HEADER', ['--format', 'postgres']],
      ['text-without-header', 'FORMAT text', ['--format', 'postgres', '--header', 'timestamp,element,region,value']],
    ];
    for (const [name, options, more] of attempts) {
      const outcome = await ingest(await copied(options), `copied-${name}`, ...flags, ...more);
      expect(outcome, name).toMatchObject({ code: 0, stderr: '' });
      expect(await liveOf(`copied-${name}`), name).toEqual(expected);
    }
    // Its text format is not taken for CSV with tabs, whose cells would be read as they stand.
    const doubtful = await copied('FORMAT text, HEADER');
    for (const [content, problem] of [
      [doubtful, 'Line 3, column "element": A cell that does not begin with a quote contains one.'],
      [doubtful.replaceAll('"x"', 'x'), 'Line 3: A cell is \\N, as in the text format of PostgreSQL.'],
    ] as const) {
      const { code, stderr } = await ingest(content, 'copied-doubtful', ...flags);
      expect(stderr).toContain(problem);
      expect(stderr).toContain('Use --format postgres');
      expect(code).toBe(1);
    }
  });

  test('reports line, column, cell and header of each record that cannot be stored', async () => {
    const header = 'The header has: "date", "element", "region", "value", separated by ";".';
    const head = 'date;element;region;value\n';
    const attempts: [content: string, flags: string[], problem: string][] = [
      [
        '2026-01-25;a;;1',
        [],
        'Line 2, column "region", cell "": A dimension needs a value. Set one for empty cells with --empty-as VALUE',
      ],
      ['2026-01-25;;eu;1', [], 'Line 2, column "element", cell "": The cell is empty.'],
      [
        '2026-01-25;a;eu;1,5',
        [],
        'Line 2, column "value", cell "1,5": Must be a decimal number such as "12.5". If the file has decimal commas, use --decimal-comma. Thousands must not be separated.',
      ],
      [
        '2026-01-25;a;eu;1,200.5',
        [],
        'Line 2, column "value", cell "1,200.5": Must be a decimal number such as "12.5". Thousands must not be separated.',
      ],
      [
        '2026-01-25;a;eu;1.000,5',
        ['--decimal-comma'],
        'Line 2, column "value", cell "1.000,5": With --decimal-comma a value contains no point',
      ],
      [
        '25.13.2026;a;eu;1',
        ['--date-format', 'DD.MM.YYYY'],
        'Line 2, column "date", cell "25.13.2026": This is not a date in the format DD.MM.YYYY.',
      ],
      ['25.01.2026;a;eu;1', [], 'Line 2, column "date", cell "25.01.2026": '],
      [
        `2026-01-25;${'e'.repeat(300)};eu;1`,
        [],
        `Line 2, column "element", cell "${'e'.repeat(59)}…": Must have at most 256 characters.`,
      ],
      ['2026-01-25;a;eu"x;1', [], 'Line 2, column "region": A cell that does not begin with a quote contains one.'],
      ['2026-01-25;a;"eu"x;1', [], 'Line 2, column "region": Text follows the closing quote of a cell.'],
      ['2999-01-25;a;eu;1', [], 'Line 2, column "date", cell "2999-01-25": '],
    ];
    for (const [content, flags, problem] of attempts) {
      const { code, stderr } = await ingest(head + content, 'unstored', ...DAILY, ...flags);
      expect(stderr).toContain(`\n${problem}`);
      expect(stderr).toContain(`\n${header}\n`);
      expect(code).toBe(1);
    }
    expect(await liveOf('unstored')).toEqual([]);
    expect((await ingest(`${head}25.01.2026;a;eu;1`, 'unstored', ...DAILY)).stderr).toContain(
      '\nUse --date-format for dates in another format, such as --date-format DD.MM.YYYY.\n',
    );
  });

  test('rejects ambiguous options', async () => {
    const attempts: [content: string, flags: string[], problem: string, exitCode: number][] = [
      [
        'a,b;c,d;e\n',
        [],
        'The first row contains "," and ";" equally often. Specify the one that separates cells with --delimiter.',
        1,
      ],
      ['', ['--date-format', 'DD.MM.YY'], 'Invalid --date-format: Two-digit years are ambiguous.', 2],
      [
        '',
        ['--format', 'postgres', '--delimiter', ';'],
        '--format postgres always has tabs between cells. Remove --delimiter.',
        2,
      ],
    ];
    for (const [content, flags, problem, exitCode] of attempts) {
      const { code, stderr } = await ingest(content, 'doubtful', ...DAILY, ...flags);
      expect(stderr).toContain(problem);
      expect(code).toBe(exitCode);
    }
  });
});
