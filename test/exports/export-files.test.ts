import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { brokenPromises } from '../support/bucket-check.ts';
import { addRecords, exportOnce, exportAgain, filterOf, type Settings } from '../support/job-steps.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

// Expected files are literal, or made by JSON.stringify or by the reader below.

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ env: { EXPORT_CONCURRENCY: '6' } });
});
afterAll(async () => {
  try {
    expect(brokenPromises(server.s3.puts)).toEqual([]);
    expect(server.s3.refusals).toEqual([]);
  } finally {
    await server.stop();
  }
});

const FORMATS = ['CSV', 'JSON', 'NDJSON'] as const;
const SLOT = '2026-01-28T02:00:00Z';

/** Files of one job in each format. */
const inEachFormat = async (settings: Settings, slot = SLOT): Promise<Record<(typeof FORMATS)[number], string>> => {
  const texts = await Promise.all(
    FORMATS.map(async (format) => (await exportOnce(server, { ...settings, format }, slot)).text),
  );
  return { CSV: texts[0] ?? '', JSON: texts[1] ?? '', NDJSON: texts[2] ?? '' };
};

/** Reads RFC 4180 with LF, strictly: quotes are allowed only in quoted fields. */
const readCsv = (text: string): string[][] => {
  const rows: string[][] = [];
  let row: string[] = [];
  let at = 0;
  while (at < text.length) {
    let field = '';
    if (text[at] === '"') {
      for (at += 1; text[at] !== '"' || text[at + 1] === '"'; at += 1) {
        if (at >= text.length) throw new Error('A quoted field never ends');
        if (text[at] === '"') at += 1;
        field += text[at];
      }
      at += 1;
    } else {
      while (at < text.length && text[at] !== ',' && text[at] !== '\n') {
        if (text[at] === '"' || text[at] === '\r') throw new Error(`A field that is not quoted has ${text[at]}`);
        field += text[at];
        at += 1;
      }
    }
    row.push(field);
    if (text[at] === '\n') {
      rows.push(row);
      row = [];
    } else if (text[at] !== ',') throw new Error(`${JSON.stringify(text[at])} behind a field`);
    at += 1;
  }
  if (row.length > 0) throw new Error('The last line has no LF');
  return rows;
};

/** Values joined by "|", each escaped by "\". */
const readValues = (field: string): string[] => {
  const values = [''];
  for (let at = 0; at < field.length; at += 1) {
    if (field[at] === '|') values.push('');
    else {
      if (field[at] === '\\') at += 1;
      values.push(`${values.pop()}${field[at]}`);
    }
  }
  return values;
};

// Sorted by UTF-8 bytes, as the rows are.
const ODD_TEXTS = [
  ' leading blank',
  '"',
  '"quoted"',
  '$1 and ${x}',
  "'single' ''",
  ',',
  'NULL',
  '\\',
  '\\.',
  '\\N',
  '\\n \\u0041',
  '\\|',
  'a"b,c\\d|e',
  'trailing blank ',
  'x|y',
  '{a,b}',
  '|',
  '\u00a0',
  '\u00e9',
  '\u2028 line \u2029 paragraph',
  '\ufeff',
  '\uff5e',
  '\u{1f600}',
];

describe.concurrent('texts with special characters', () => {
  beforeAll(async () => {
    await addRecords(
      server,
      'odd',
      'DAILY',
      ODD_TEXTS.map((text, index) => ({
        timestamp: '2026-01-25T00:00:00Z',
        filter: filterOf({ 'a "dimension", with | and \\': text }),
        elementName: text,
        value: index + 1,
      })),
    );
  });
  const settings = { meterApiNames: ['odd'], groupBy: ['element', 'a "dimension", with | and \\'] };
  const head = { meterApiName: 'odd', bucketStart: '2026-01-25T00:00:00Z', bucketEnd: '2026-01-26T00:00:00Z' };
  const jsonLines = ODD_TEXTS.map((text, index) =>
    JSON.stringify({ ...head, element: text, 'a "dimension", with | and \\': [text], value: index + 1 }),
  );

  test('are written to JSON and NDJSON as JSON.stringify does, one complete text per line', async () => {
    const { JSON: json, NDJSON: ndjson } = await inEachFormat(settings);
    expect(json).toBe(`[${jsonLines.join(',')}]`);
    expect(ndjson).toBe(`${jsonLines.join('\n')}\n`);
    expect((JSON.parse(json) as { element: string }[]).map(({ element }) => element)).toEqual(ODD_TEXTS);
    expect(
      ndjson
        .trimEnd()
        .split('\n')
        .map((line) => (JSON.parse(line) as { element: string }).element),
    ).toEqual(ODD_TEXTS);
  });

  test('can be read from CSV by RFC 4180 and the escapes within a field', async () => {
    const { text } = await exportOnce(server, settings, SLOT);
    const [header, ...rows] = readCsv(text);
    expect(header).toEqual(['meterApiName', 'bucketStart', 'bucketEnd', ...settings.groupBy, 'value']);
    expect(rows).toEqual(
      ODD_TEXTS.map((text, index) => [
        ...Object.values(head),
        text,
        text.replaceAll('\\', '\\\\').replaceAll('|', '\\|'),
        String(index + 1),
      ]),
    );
    expect(rows.map((row) => readValues(row[4] ?? ''))).toEqual(ODD_TEXTS.map((text) => [text]));
  });

  test('are quoted in CSV only if they contain a quote or a comma', async () => {
    const { text } = await exportOnce(server, { ...settings, groupBy: ['element'] }, SLOT);
    expect(text.split('\n').slice(0, 9)).toEqual([
      'meterApiName,bucketStart,bucketEnd,element,value',
      'odd,2026-01-25T00:00:00Z,2026-01-26T00:00:00Z, leading blank,1',
      'odd,2026-01-25T00:00:00Z,2026-01-26T00:00:00Z,"""",2',
      'odd,2026-01-25T00:00:00Z,2026-01-26T00:00:00Z,"""quoted""",3',
      'odd,2026-01-25T00:00:00Z,2026-01-26T00:00:00Z,$1 and ${x},4',
      "odd,2026-01-25T00:00:00Z,2026-01-26T00:00:00Z,'single' '',5",
      'odd,2026-01-25T00:00:00Z,2026-01-26T00:00:00Z,",",6',
      'odd,2026-01-25T00:00:00Z,2026-01-26T00:00:00Z,NULL,7',
      'odd,2026-01-25T00:00:00Z,2026-01-26T00:00:00Z,\\,8',
    ]);
  });

  test('can be used in filters unchanged', async () => {
    for (const text of ['\\', 'a"b,c\\d|e', '{a,b}', "'single' ''", '$1 and ${x}']) {
      const filter = filterOf({ 'a "dimension", with | and \\': text });
      const { run } = await exportOnce(server, { ...settings, filter }, SLOT);
      expect(run.rowsWritten).toBe(1);
    }
  });
});

describe.concurrent('grouped dimensions', () => {
  beforeAll(async () => {
    const at = { timestamp: '2026-01-25T00:00:00Z', elementName: 'e' };
    await addRecords(server, 'regional', 'DAILY', [
      { ...at, filter: filterOf({ region: ['eu'], tier: 'gold' }), value: '1' },
      { ...at, filter: filterOf({ region: ['us', 'eu'], tier: 'gold' }), value: '2' },
      { ...at, filter: filterOf({ region: ['eu', 'a|b', 'c\\d'], tier: 'free' }), value: '4' },
    ]);
    await addRecords(server, 'regional.bare', 'DAILY', [{ ...at, value: '8' }]);
  });
  const settings = { meterApiNames: ['regional', 'regional.bare'], groupBy: ['tier', 'element', 'region'] };

  test('are written with one value, several values and none as each format defines', async () => {
    const day = '2026-01-25T00:00:00Z,2026-01-26T00:00:00Z';
    const jsonDay = '"bucketStart":"2026-01-25T00:00:00Z","bucketEnd":"2026-01-26T00:00:00Z"';
    const lines = [
      `{"meterApiName":"regional",${jsonDay},"tier":["free"],"element":"e","region":["a|b","c\\\\d","eu"],"value":4}`,
      `{"meterApiName":"regional",${jsonDay},"tier":["gold"],"element":"e","region":["eu"],"value":1}`,
      `{"meterApiName":"regional",${jsonDay},"tier":["gold"],"element":"e","region":["eu","us"],"value":2}`,
      `{"meterApiName":"regional.bare",${jsonDay},"tier":null,"element":"e","region":null,"value":8}`,
    ];
    expect(await inEachFormat(settings)).toEqual({
      CSV: [
        'meterApiName,bucketStart,bucketEnd,tier,element,region,value',
        `regional,${day},free,e,a\\|b|c\\\\d|eu,4`,
        `regional,${day},gold,e,eu,1`,
        `regional,${day},gold,e,eu|us,2`,
        `regional.bare,${day},,e,,8`,
        '',
      ].join('\n'),
      JSON: `[${lines.join(',')}]`,
      NDJSON: `${lines.join('\n')}\n`,
    });
  });

  test('that are not in groupBy are summed', async () => {
    expect((await exportOnce(server, { ...settings, groupBy: null }, SLOT)).text).toBe(
      'meterApiName,bucketStart,bucketEnd,value\n' +
        'regional,2026-01-25T00:00:00Z,2026-01-26T00:00:00Z,7\n' +
        'regional.bare,2026-01-25T00:00:00Z,2026-01-26T00:00:00Z,8\n',
    );
  });

  test('keep the requested name of the element', async () => {
    const { text } = await exportOnce(server, { ...settings, groupBy: ['element-name'], format: 'NDJSON' }, SLOT);
    expect(text.split('\n')[0]).toBe(
      '{"meterApiName":"regional","bucketStart":"2026-01-25T00:00:00Z","bucketEnd":"2026-01-26T00:00:00Z","element-name":"e","value":7}',
    );
  });

  test('exclude all records of a stream that lacks a dimension of the filter', async () => {
    const filter = filterOf({ region: ['us', 'mars'] });
    expect((await exportOnce(server, { ...settings, groupBy: ['region'], filter }, SLOT)).text).toBe(
      'meterApiName,bucketStart,bucketEnd,region,value\nregional,2026-01-25T00:00:00Z,2026-01-26T00:00:00Z,eu|us,2\n',
    );
  });
});

describe.concurrent('values', () => {
  const VALUES = [
    ['a', '0', '0'],
    ['b', '0.000000000001', '-0.0000000000005'],
    ['c', '100.50', '-50.25'],
    ['d', '1e3', '-500'],
    ['e', '99999999999999999999999999.999999999999', '-49999999999999999999999999.9999999999995'],
    ['f', '12345678901234567890', '-6172839450617283945'],
  ] as const;
  beforeAll(async () => {
    await addRecords(
      server,
      'values',
      'DAILY',
      VALUES.map(([elementName, value]) => ({ timestamp: '2026-01-25T00:00:00Z', elementName, value })),
    );
  });
  const settings = { meterApiNames: ['values'], groupBy: ['element'] };
  const valuesOf = (csv: string): string[] =>
    readCsv(csv)
      .slice(1)
      .map((row) => row.at(-1) ?? '');

  test('are plain decimals, exact, without exponent and trailing zeros', async () => {
    const { CSV, JSON: json } = await inEachFormat(settings);
    const expected = [
      '0',
      '0.000000000001',
      '100.5',
      '1000',
      '99999999999999999999999999.999999999999',
      '12345678901234567890',
    ];
    expect(valuesOf(CSV)).toEqual(expected);
    expect([...json.matchAll(/"value":([^}]*)\}/g)].map((match) => match[1])).toEqual(expected);
  });

  test('are multiplied exactly, and zero does not have a sign', async () => {
    const rescaleFunction = { function: 'MULTIPLY', coefficient: '-0.5' };
    const { CSV, JSON: json } = await inEachFormat({ ...settings, rescaleFunction });
    expect(valuesOf(CSV)).toEqual(VALUES.map(([, , product]) => product));
    expect([...json.matchAll(/"value":([^}]*)\}/g)].map((match) => match[1])).toEqual(
      VALUES.map(([, , product]) => product),
    );
  });

  test('are all 0 with the coefficient 0', async () => {
    const rescaleFunction = { function: 'MULTIPLY', coefficient: '-0.000' };
    const { text } = await exportOnce(server, { ...settings, rescaleFunction }, SLOT);
    expect(valuesOf(text)).toEqual(['0', '0', '0', '0', '0', '0']);
  });
});

describe.concurrent('several streams', () => {
  const at = (stamp: string) => ({ timestamp: stamp, elementName: 'e', value: '1' });
  const NAMES = ['s-1', 's.1', 'S_1', 's10', 's2', 's_1', 'sZ', 'sa'];
  beforeAll(async () => {
    for (const name of NAMES.toReversed()) {
      await addRecords(server, name, 'DAILY', [at('2026-01-24T00:00:00Z'), at('2026-01-25T00:00:00Z')]);
    }
  });

  test('are in bytewise order of their names, then by time', async () => {
    const { text } = await exportOnce(server, { meterApiNames: NAMES }, SLOT);
    const rows = readCsv(text).slice(1);
    expect(rows.map(([name, start]) => `${name} ${start?.slice(8, 10)}`)).toEqual(
      // "-" 2d, "." 2e, digits 30 to 39, capitals 41 to 5a, "_" 5f, letters 61 to 7a; "S" before "s".
      ['S_1', 's-1', 's.1', 's10', 's2', 'sZ', 's_1', 'sa'].flatMap((name) => [`${name} 24`, `${name} 25`]),
    );
  });

  test.each([1, 63, 64, 256])('are written with a complete name of %i characters', async (length) => {
    const name = 'n'.repeat(length);
    await addRecords(server, name, 'DAILY', [at('2026-01-25T00:00:00Z')]);
    const { text } = await exportOnce(server, { meterApiNames: [name] }, SLOT);
    expect(readCsv(text).slice(1)).toEqual([[name, '2026-01-25T00:00:00Z', '2026-01-26T00:00:00Z', '1']]);
  });

  test('are all streams of the account, and none of another, without meterApiNames', async () => {
    const key = await server.createKey('another account', ['JOBS', 'INGEST']);
    await addRecords(server, 'theirs', 'DAILY', [at('2026-01-25T00:00:00Z')], key);
    const ours = await exportOnce(server, {}, SLOT);
    const names = new Set(
      readCsv(ours.text)
        .slice(1)
        .map(([name]) => name),
    );
    expect(NAMES.every((name) => names.has(name))).toBe(true);
    expect(names.has('theirs')).toBe(false);
  });

  test('have groups without a dimension first, and shorter lists before longer ones', async () => {
    const stamp = '2026-01-25T00:00:00Z';
    await addRecords(
      server,
      'sorted',
      'DAILY',
      [['b'], ['a', 'b'], ['a'], ['a', 'a b'], ['Z'], ['\uff5e'], ['\u{1f600}'], ['\u00e9'], ['a', 'b', 'c']].map(
        (values) => ({ ...at(stamp), filter: filterOf({ x: values }) }),
      ),
    );
    const { text } = await exportOnce(server, { meterApiNames: ['sorted'], groupBy: ['nowhere', 'x'] }, SLOT);
    expect(
      readCsv(text)
        .slice(1)
        .map((row) => row.slice(3, 5)),
    ).toEqual(['Z', 'a', 'a|a b', 'a|b', 'a|b|c', 'b', '\u00e9', '\uff5e', '\u{1f600}'].map((values) => ['', values]));
  });
});

describe.concurrent('sparse', () => {
  beforeAll(async () => {
    await addRecords(server, 'gaps', 'DAILY', [
      { timestamp: '2026-01-26T00:00:00Z', elementName: 'b', value: '2' },
      { timestamp: '2026-01-27T00:00:00Z', elementName: 'a', value: '0' },
    ]);
    await addRecords(server, 'gaps.too', 'DAILY', [
      { timestamp: '2026-01-25T00:00:00Z', elementName: 'c', value: '3' },
      { timestamp: '2026-01-20T00:00:00Z', elementName: 'outside', value: '3' },
    ]);
  });
  const settings = { meterApiNames: ['gaps', 'gaps.too'], groupBy: ['element'], range: 'ago(3d)' };

  test('false > fills each bucket with 0 for each group of its stream', async () => {
    const { text, manifest } = await exportOnce(server, { ...settings, sparse: false }, '2026-01-28T00:00:00Z');
    expect(text).toBe(
      [
        'meterApiName,bucketStart,bucketEnd,element,value',
        'gaps,2026-01-25T00:00:00Z,2026-01-26T00:00:00Z,a,0',
        'gaps,2026-01-25T00:00:00Z,2026-01-26T00:00:00Z,b,0',
        'gaps,2026-01-26T00:00:00Z,2026-01-27T00:00:00Z,a,0',
        'gaps,2026-01-26T00:00:00Z,2026-01-27T00:00:00Z,b,2',
        'gaps,2026-01-27T00:00:00Z,2026-01-28T00:00:00Z,a,0',
        'gaps,2026-01-27T00:00:00Z,2026-01-28T00:00:00Z,b,0',
        'gaps.too,2026-01-25T00:00:00Z,2026-01-26T00:00:00Z,c,3',
        'gaps.too,2026-01-26T00:00:00Z,2026-01-27T00:00:00Z,c,0',
        'gaps.too,2026-01-27T00:00:00Z,2026-01-28T00:00:00Z,c,0',
        '',
      ].join('\n'),
    );
    expect(manifest.totals).toEqual({ objects: 1, rows: 9, bytes: Buffer.byteLength(text) });
  });

  test('keeps the row of a record with value 0 if sparse is true', async () => {
    const { text } = await exportOnce(server, settings, '2026-01-28T00:00:00Z');
    expect(
      readCsv(text)
        .slice(1)
        .map((row) => row.slice(3)),
    ).toEqual([
      ['b', '2'],
      ['a', '0'],
      ['c', '3'],
    ]);
  });
});

describe.concurrent('empty window', () => {
  test.each([
    ['CSV', 'meterApiName,bucketStart,bucketEnd,"a,b",element,value\n'],
    ['JSON', '[]'],
    ['NDJSON', ''],
  ])('in %s > is a file without rows with a complete manifest, also compressed', async (format, expected) => {
    const settings = { meterApiNames: ['no such stream'.replaceAll(' ', '-')], format, groupBy: ['a,b', 'element'] };
    const [plain, gzip] = await Promise.all([
      exportOnce(server, settings, SLOT),
      exportOnce(server, { ...settings, compression: 'GZIP', sparse: false }, SLOT),
    ]);
    expect(plain.text).toBe(expected);
    expect(gunzipSync(gzip.bodies[0] as Buffer).toString()).toBe(expected);
    for (const { run, manifest, bodies } of [plain, gzip]) {
      expect(run).toMatchObject({ status: 'SUCCEEDED', rowsWritten: 0, error: null });
      expect(manifest).toMatchObject({
        state: 'complete',
        objects: [{ rows: 0, bytes: bodies[0]?.length }],
        totals: { objects: 1, rows: 0, bytes: bodies[0]?.length },
      });
    }
  });
});

describe.concurrent('compression', () => {
  test('writes a file that gunzip restores, and the same bytes for the same data', async () => {
    await addRecords(
      server,
      'zipped',
      'HOURLY',
      Array.from({ length: 2000 }, (_, index) => ({
        timestamp: '2026-01-25T00:00:00Z',
        elementName: `customer ${index}`,
        value: index,
      })),
    );
    const settings = { meterApiNames: ['zipped'], groupBy: ['element'] };
    for (const format of FORMATS) {
      const [plain, gzip] = await Promise.all([
        exportOnce(server, { ...settings, format }, SLOT),
        exportOnce(server, { ...settings, format, compression: 'GZIP' }, SLOT),
      ]);
      expect(gunzipSync(gzip.bodies[0] as Buffer).equals(plain.bodies[0] as Buffer)).toBe(true);
      expect(plain.run.rowsWritten).toBe(2000);
      const again = await exportAgain(server, gzip.jobId, SLOT);
      expect(again.bodies[0]?.equals(gzip.bodies[0] as Buffer)).toBe(true);
      expect(gzip.run.objects[0]?.key).toMatch(
        new RegExp(`20260121T000000Z_20260128T000000Z\\.${format.toLowerCase()}\\.gz$`),
      );
      expect(server.s3.object('exports', gzip.run.objects[0]?.key ?? '')?.headers).toMatchObject({
        'content-type': 'application/gzip',
        'x-amz-acl': 'bucket-owner-full-control',
      });
      expect(server.s3.object('exports', gzip.run.objects[0]?.key ?? '')?.headers['content-encoding']).toBeUndefined();
    }
  });
});

describe.concurrent('times', () => {
  beforeAll(async () => {
    await addRecords(
      server,
      'hours',
      'HOURLY',
      [
        '2026-03-08T06:00:00Z',
        '2026-03-08T07:00:00Z',
        '2025-11-02T05:00:00Z',
        '2025-11-02T06:00:00Z',
        '2026-01-25T18:00:00Z',
        '2026-01-25T19:00:00Z',
      ].map((timestamp) => ({ timestamp, elementName: 'e', value: '1' })),
    );
    await addRecords(server, 'days', 'DAILY', [
      { timestamp: '2026-03-08T00:00:00+13:00', elementName: 'e', value: '1' },
      { timestamp: '2026-01-25T00:00:00-05:00', elementName: 'e', value: '1' },
    ]);
  });
  const times = async (settings: Settings, slot: string): Promise<string[]> =>
    readCsv((await exportOnce(server, settings, slot)).text)
      .slice(1)
      .map((row) => `${row[1]} ${row[2]} ${row.at(-1)}`);

  test.each([
    [
      'a day of 23 hours in New York',
      { meterApiNames: ['hours'], timeZone: 'America/New_York', range: 'ago(1d)' },
      '2026-03-09T05:00:00Z',
      ['2026-03-08T00:00:00-05:00 2026-03-09T00:00:00-04:00 2'],
    ],
    [
      'the hour that New York skips',
      { meterApiNames: ['hours'], timeZone: 'America/New_York', range: 'ago(1d)', aggregationBucket: 'HOUR' },
      '2026-03-08T12:00:00Z',
      [
        '2026-03-08T01:00:00-05:00 2026-03-08T03:00:00-04:00 1',
        '2026-03-08T03:00:00-04:00 2026-03-08T04:00:00-04:00 1',
      ],
    ],
    [
      'the hour that New York repeats',
      { meterApiNames: ['hours'], timeZone: 'America/New_York', range: 'ago(1d)', aggregationBucket: 'HOUR' },
      '2025-11-02T12:00:00Z',
      [
        '2025-11-02T01:00:00-04:00 2025-11-02T01:00:00-05:00 1',
        '2025-11-02T01:00:00-05:00 2025-11-02T02:00:00-05:00 1',
      ],
    ],
    [
      'days of Kolkata, five and a half hours east',
      { meterApiNames: ['hours'], timeZone: 'Asia/Kolkata', range: 'ago(2d)' },
      '2026-01-26T20:00:00Z',
      [
        '2026-01-25T00:00:00+05:30 2026-01-26T00:00:00+05:30 1',
        '2026-01-26T00:00:00+05:30 2026-01-27T00:00:00+05:30 1',
      ],
    ],
    [
      'daily records west of UTC, on their own date',
      { meterApiNames: ['days'], timeZone: 'America/New_York', range: 'ago(1d)' },
      '2026-01-26T05:00:00Z',
      ['2026-01-25T00:00:00-05:00 2026-01-26T00:00:00-05:00 1'],
    ],
    [
      'daily records in hour buckets, in the first hour of their date',
      { meterApiNames: ['days'], timeZone: 'Pacific/Apia', range: 'ago(1d)', aggregationBucket: 'HOUR' },
      '2026-01-25T11:00:00Z',
      ['2026-01-25T00:00:00+13:00 2026-01-25T01:00:00+13:00 1'],
    ],
    [
      'ISO weeks',
      { meterApiNames: ['days'], aggregationBucket: 'WEEK', range: 'ago(8d)', timeZone: 'Europe/Berlin' },
      '2026-03-16T10:00:00Z',
      ['2026-03-02T00:00:00+01:00 2026-03-09T00:00:00+01:00 1'],
    ],
    [
      'months',
      { meterApiNames: ['days'], aggregationBucket: 'MONTH', range: 'ago(90d)', timeZone: 'UTC' },
      '2026-04-01T00:00:00Z',
      ['2026-01-01T00:00:00Z 2026-02-01T00:00:00Z 1', '2026-03-01T00:00:00Z 2026-04-01T00:00:00Z 1'],
    ],
  ])('%s', async (_name, settings, slot, expected) => {
    expect(await times(settings, slot)).toEqual(expected);
  });

  test('end the last bucket with the window if minimizeFresh is false', async () => {
    const settings = { meterApiNames: ['hours'], range: 'ago(2d)', minimizeFresh: false, timeZone: 'Asia/Kolkata' };
    const { text, run } = await exportOnce(server, settings, '2026-01-25T18:59:59.9Z');
    // 19:00 UTC is 00:30 of the 26th there, after the window; 18:00 UTC is 23:30 of the 25th.
    expect(text.split('\n')[1]).toBe('hours,2026-01-25T00:00:00+05:30,2026-01-26T00:00:00+05:30,1');
    expect(text.split('\n')).toHaveLength(3);
    expect(run.windowEnd).toBe('2026-01-25T18:59:59Z');
    const short = await exportOnce(server, settings, '2026-01-25T18:12:34Z');
    expect(short.text.split('\n')[1]).toBe('hours,2026-01-25T00:00:00+05:30,2026-01-25T23:42:34+05:30,1');
    expect(short.run.objects[0]?.key).toMatch(/\/20260122T183000Z_20260125T181234Z\.csv$/);
    expect(short.manifest.window).toEqual({ start: '2026-01-22T18:30:00Z', end: '2026-01-25T18:12:34Z' });
  });

  test('end earlier with endTimeOffset, and at a bucket boundary with minimizeFresh', async () => {
    const settings = { meterApiNames: ['days'], range: 'ago(60d)', endTimeOffset: 'ago(36h)' };
    const { run } = await exportOnce(server, settings, '2026-03-09T11:59:00Z');
    expect([run.windowStart, run.windowEnd]).toEqual(['2026-01-08T00:00:00Z', '2026-03-07T00:00:00Z']);
    expect(run.rowsWritten).toBe(1);
  });
});
