import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createDateReader } from '../../src/cli/ingest/date-format.ts';
import { InputError } from '../../src/cli/ingest/input-encoding.ts';
import { type InputItem, readRecords, type RecordsOptions } from '../../src/cli/ingest/read-records.ts';

const OPTIONS: RecordsOptions = {
  format: null,
  encoding: null,
  delimiter: null,
  header: null,
  columns: {},
  ignored: [],
  granularity: 'daily',
  splitValues: false,
  emptyAs: '(none)',
  decimalComma: false,
  round: null,
  dateFormat: null,
  readDate: null,
};

const toStream = async function* each(pieces: AsyncIterable<Buffer> | Iterable<Buffer>): AsyncGenerator<Buffer> {
  yield* pieces;
};

const itemsOf = async (
  pieces: AsyncIterable<Buffer> | Iterable<Buffer>,
  options: Partial<RecordsOptions>,
): Promise<InputItem[]> => {
  const all: InputItem[] = [];
  for await (const items of readRecords(toStream(pieces), { ...OPTIONS, ...options }).items) all.push(...items);
  return all;
};

interface Written {
  readonly delimiter: string;
  readonly encoding: 'utf8' | 'utf8 with mark' | 'utf16le' | 'utf16be' | 'utf16le without mark';
  readonly lineEnd: string;
  readonly quotesAll: boolean;
  readonly sepLine: boolean;
  readonly lastEnd: boolean;
  readonly decimalComma: boolean;
  readonly pieceBytes: number;
}

const styles: fc.Arbitrary<Written> = fc.record({
  delimiter: fc.constantFrom(',', ';', '\t', '|'),
  encoding: fc.constantFrom('utf8', 'utf8 with mark', 'utf16le', 'utf16be', 'utf16le without mark'),
  lineEnd: fc.constantFrom('\n', '\r\n', '\r'),
  quotesAll: fc.boolean(),
  sepLine: fc.boolean(),
  lastEnd: fc.boolean(),
  decimalComma: fc.boolean(),
  pieceBytes: fc.integer({ min: 1, max: 200 }),
});

const cells = fc.oneof(
  fc.string({ unit: 'grapheme' }),
  fc.string({ unit: fc.constantFrom('"', ',', ';', '\t', '|', '\r', '\n', '\\', ' ', 'a', 'é', '😀', '\u0000') }),
);

interface Row {
  readonly element: string;
  readonly region: string;
  readonly whole: number;
  readonly fraction: number;
}

const rows: fc.Arbitrary<Row[]> = fc.array(
  fc.record({
    element: cells.filter((cell) => cell !== '' && cell !== String.raw`\N`),
    region: cells.filter((cell) => cell !== String.raw`\N`),
    whole: fc.nat(),
    fraction: fc.nat({ max: 999 }),
  }),
  { maxLength: 6 },
);

/** Returns the rows as CSV, and the lines in which they begin. */
const written = (all: readonly Row[], style: Written): { bytes: Buffer; lines: number[] } => {
  const quotedIfNeeded = (cell: string): string =>
    style.quotesAll || /["\r\n]/.test(cell) || cell.includes(style.delimiter)
      ? `"${cell.replaceAll('"', '""')}"`
      : cell;
  const texts = [
    ['timestamp', 'element', 'region', 'value'],
    ...all.map(({ element, region, whole, fraction }) => [
      '2026-01-25',
      element,
      region,
      `${whole}${style.decimalComma ? ',' : '.'}${fraction}`,
    ]),
  ].map((row) => row.map(quotedIfNeeded).join(style.delimiter));
  let line = style.sepLine ? 2 : 1;
  const lines = texts.map((row) => {
    const begins = line;
    line += row.split(/\r\n|\r|\n/).length;
    return begins;
  });
  const text = `${style.sepLine ? `sep=${style.delimiter}${style.lineEnd}` : ''}${texts.join(style.lineEnd)}${style.lastEnd ? style.lineEnd : ''}`;
  return { bytes: encoded(text, style.encoding), lines: lines.slice(1) };
};

const encoded = (text: string, encoding: Written['encoding']): Buffer => {
  switch (encoding) {
    case 'utf8':
      return Buffer.from(text);
    case 'utf8 with mark':
      return Buffer.from(`\ufeff${text}`);
    case 'utf16be':
      return Buffer.from(`\ufeff${text}`, 'utf16le').swap16();
    case 'utf16le':
      return Buffer.from(`\ufeff${text}`, 'utf16le');
    case 'utf16le without mark':
      return Buffer.from(text, 'utf16le');
  }
};

const ENCODINGS: Readonly<Record<Written['encoding'], string>> = {
  utf8: 'UTF-8',
  'utf8 with mark': 'UTF-8',
  utf16le: 'UTF-16LE',
  utf16be: 'UTF-16BE',
  'utf16le without mark': 'UTF-16LE',
};

const piecesOf = function* cut(bytes: Buffer, size: number): Generator<Buffer> {
  for (let start = 0; start < bytes.length; start += size) yield bytes.subarray(start, start + size);
};

const DECIMAL_COMMA = 'If the file has decimal commas, use --decimal-comma. Thousands must not be separated.';
const THOUSANDS = 'Thousands must not be separated.';
const BOTH = 'Thousands must not be separated: remove the separators, and use --decimal-comma for the decimal comma.';
const UNIT = 'Send the number alone, without a currency, percent sign or unit.';
const BLANK = 'The cell begins or ends with a space.';

/** The cell, and what the message says after the example. */
const REFUSED_VALUES: Readonly<Record<string, readonly (readonly [cell: string, hint: string])[]>> = {
  point: [
    ['1,5', DECIMAL_COMMA],
    [',5', DECIMAL_COMMA],
    // Either of the two.
    ['1,200', DECIMAL_COMMA],
    ['1,200.5', THOUSANDS],
    ['1,200,300', THOUSANDS],
    ['1,200,300.5', THOUSANDS],
    ['12,00,300.5', THOUSANDS],
    ['-1,200.5', THOUSANDS],
    ['1.200.300', THOUSANDS],
    ['1.200,5', BOTH],
    ['1.200.300,5', BOTH],
    ['1 200', THOUSANDS],
    ['1 200.5', THOUSANDS],
    ['1\u{a0}200,5', BOTH],
    ['1\u{202f}200,5', BOTH],
    ["1'200.5", THOUSANDS],
    ['1’200.5', THOUSANDS],
    ['1_200', THOUSANDS],
    ['$5', UNIT],
    ['5 €', UNIT],
    ['1.200,50 €', UNIT],
    ['USD 5', UNIT],
    ['5%', UNIT],
    ['5 kWh', UNIT],
    [' 5', BLANK],
    ['5 ', BLANK],
    ['1,5\u{a0}', BLANK],
    ['n/a', ''],
    ['-', ''],
    ['1/2', ''],
    ['12:30', ''],
    ['1e999', ''],
  ],
  comma: [
    ['1,200,300', THOUSANDS],
    ['1 200,5', THOUSANDS],
    ["1'200,5", THOUSANDS],
    ['5,5 €', UNIT],
    ['5,5 ', BLANK],
    ['n/a', ''],
    ['1,5e999', ''],
  ],
};

describe('CSV value', () => {
  test.each(['point', 'comma'])(
    'is rejected with the reason when it is not a number and the file has a decimal %s',
    async (mark) => {
      const cases = REFUSED_VALUES[mark] ?? [];
      const bytes = Buffer.from(`timestamp;element;value\n${cases.map(([cell]) => `2026-01-25;a;${cell}\n`).join('')}`);
      const items = await itemsOf([bytes], { delimiter: ';', decimalComma: mark === 'comma' });
      const example = `Must be a decimal number such as "${mark === 'comma' ? '12,5' : '12.5'}".`;
      expect(items.map((item, index) => [cases[index]?.[0], 'problem' in item ? item.problem : 'none'])).toEqual(
        cases.map(([cell, hint]) => [cell, hint === '' ? example : `${example} ${hint}`]),
      );
    },
  );
});

describe('CSV', () => {
  test('is read with its line numbers regardless of delimiter, encoding, quoting and line ends', async () => {
    await fc.assert(
      fc.asyncProperty(rows, styles, async (all, style) => {
        const { bytes, lines } = written(all, style);
        const items = await itemsOf(piecesOf(bytes, style.pieceBytes), { decimalComma: style.decimalComma });
        expect(
          items.map((item) =>
            'record' in item ? { line: item.line, record: JSON.parse(item.record) as unknown } : item,
          ),
        ).toEqual(
          all.map(({ element, region, whole, fraction }, index) => ({
            line: lines[index],
            record: {
              timestamp: '2026-01-25',
              granularity: 'daily',
              'element-name': element,
              filter: { region: [region === '' ? '(none)' : region] },
              value: `${whole}.${fraction}`,
            },
          })),
        );
      }),
      { numRuns: 300 },
    );
  });

  test('has the same records and the same shown roles however the same table is written', async () => {
    await fc.assert(
      fc.asyncProperty(rows, fc.array(styles, { minLength: 2, maxLength: 3 }), async (all, manyStyles) => {
        const requests = await Promise.all(
          manyStyles.map(async (style) => {
            const options = { decimalComma: style.decimalComma, round: 2, columns: { zone: 'region' } };
            const source = readRecords(toStream(piecesOf(written(all, style).bytes, style.pieceBytes)), {
              ...OPTIONS,
              ...options,
            });
            const records: string[] = [];
            for await (const items of source.items) {
              records.push(...items.map((item) => ('record' in item ? item.record : item.problem)));
            }
            const { reading } = source;
            expect(reading).toMatchObject({ delimiter: style.delimiter, encoding: ENCODINGS[style.encoding] });
            return { records, roles: reading?.columns?.roles };
          }),
        );
        for (const request of requests) expect(request).toEqual(requests[0]);
      }),
      { numRuns: 200 },
    );
  });

  test('is rejected with the reason when it is neither UTF-8 nor UTF-16', async () => {
    const head = 'timestamp,element,value\n';
    expect(await itemsOf([Buffer.from(`${head}2026-01-25,caf\u00e9,1\n`, 'latin1')], {})).toEqual([
      { line: 2, location: null, problem: expect.stringContaining('iconv -f WINDOWS-1252 -t UTF-8') },
    ]);
    // A high surrogate that nothing follows.
    const broken = Buffer.concat([Buffer.from(`\ufeff${head}2026`, 'utf16le'), Buffer.from([0x00, 0xd8, 0x2c, 0x00])]);
    await expect(itemsOf([broken], {})).rejects.toThrow('The file starts as UTF-16LE but contains other bytes.');
  });

  test('reports the row when files with byte order marks were joined', async () => {
    const file = '\ufeffa,2026-01-25,1\n';
    const header = ['element', 'timestamp', 'value'];
    expect(await itemsOf([Buffer.from(file + file)], { header })).toEqual([
      { line: 1, record: expect.stringContaining('"element-name":"a"') },
      { line: 2, location: null, problem: expect.stringContaining('The row begins with a byte order mark') },
    ]);
  });

  const HEAD = 'timestamp,element,region,value\n';
  const MIB = 1024 * 1024;
  /** Endless chunks, and how many bytes of them were read. */
  const endless = (head: string, text: string) => {
    const piece = Buffer.from(text.repeat(Math.ceil((64 * 1024) / text.length)));
    const read = { bytes: 0 };
    const pieces = function* repeat(): Generator<Buffer> {
      yield Buffer.from(head);
      for (;;) {
        read.bytes += piece.length;
        yield piece;
      }
    };
    return { pieces: pieces(), read };
  };

  test.each<[what: string, head: string, text: string, options?: Partial<RecordsOptions>]>([
    ['a quote that is never closed', `${HEAD}2026-01-25,"`, 'a'],
    ['a quote over endless lines', `${HEAD}2026-01-25,"`, 'a\n'],
    ['doubled quotes without end', `${HEAD}2026-01-25,"`, '""'],
    ['one endless cell', `${HEAD}2026-01-25,`, 'a'],
    ['endless cells', `${HEAD}2026-01-25`, ','],
    ['an endless header', 'timestamp', ',a'],
    ['an endless line of PostgreSQL text', 'timestamp\telement\tvalue\n', String.raw`\\`, { format: 'postgres' }],
  ])('is rejected with its line after at most 3 MiB when it has %s', async (_, head, text, options = {}) => {
    const { pieces, read } = endless(head, text);
    const last = (await itemsOf(pieces, options).catch((error: unknown) => error)) as InputItem[] | InputError;
    const problem = Array.isArray(last) ? last.at(-1) : last;
    expect(problem).toMatchObject(
      problem instanceof InputError
        ? { message: expect.any(String) }
        : { line: expect.any(Number), problem: expect.stringMatching(/exceeds the maximum length of a record/i) },
    );
    expect(read.bytes).toBeLessThanOrEqual(3 * MIB);
  });

  test('takes at most three times the CPU time when the worst cells are twice as long', async () => {
    const cpuOf = async (cells: number): Promise<number> => {
      const row = (cell: string): string => `2026-01-25,a,${cell},1\n`;
      const bytes = Buffer.from(
        HEAD +
          row(`"${'""'.repeat(cells)}"`) +
          row(`"${'|'.repeat(cells)}"`) +
          row(String.raw`\|`.repeat(cells)) +
          Array.from({ length: cells }, (_unused, index) => `c${index}`).join(','),
      );
      const before = process.cpuUsage();
      for (let round = 0; round < 3; round += 1) await itemsOf([bytes], { splitValues: true });
      const { user, system } = process.cpuUsage(before);
      return user + system;
    };
    await cpuOf(40_000);
    const ratios: number[] = [];
    for (let attempt = 0; attempt < 10 && !(Math.min(...ratios) < 3); attempt += 1)
      ratios.push((await cpuOf(80_000)) / (await cpuOf(40_000)));
    expect(Math.min(...ratios)).toBeLessThan(3);
  });

  test('has a header of at most 1,000 columns', async () => {
    const header = Array.from({ length: 100_000 }, (_, index) => `c${index}`).join(',');
    await expect(itemsOf([Buffer.from(`${header}\n`)], {})).rejects.toThrow(
      /^A file has at most 1000 columns\.\nThe header has: "c0", "c1", .* and 99970 more, separated by ","\.$/,
    );
  });
});

describe('NDJSON', () => {
  const lines = ['{"element-name":"caf\u00e9"}', '', '{"element-name":"b"}'];
  const read = [
    { line: 1, record: lines[0] },
    { line: 3, record: lines[2] },
  ];

  test.each<[what: string, bytes: Buffer]>([
    ['UTF-8', Buffer.from(lines.join('\n'))],
    ['UTF-8 with a byte order mark', Buffer.from(`\ufeff${lines.join('\n')}\n`)],
    ['UTF-16, as PowerShell redirects it', Buffer.from(`\ufeff${lines.join('\n')}`, 'utf16le')],
    ['UTF-16 of the other order, without a mark', Buffer.from(lines.join('\n'), 'utf16le').swap16()],
  ])('is read from %s', async (_, bytes) => {
    expect(await itemsOf(piecesOf(bytes, 3), {})).toEqual(read);
  });
});

describe('date format', () => {
  test.each([
    ['DD.MM.YYYY', '20.11.2026', '2026-11-20'],
    ['D.M.YYYY', '1.2.2026', '2026-02-01'],
    ['D.M.YYYY', '20.11.2026', '2026-11-20'],
    ['DD.MM.YYYY HH:mm', '20.11.2026 00:00', '2026-11-20T00:00:00'],
    ['M/D/YYYY h:mm A', '11/5/2026 1:05 PM', '2026-11-05T13:05:00'],
    ['M/D/YYYY h:mm A', '11/5/2026 12:00 am', '2026-11-05T00:00:00'],
    ['MM/DD/YYYY hh:mm:ss A', '11/05/2026 12:59:59 PM', '2026-11-05T12:59:59'],
    ['YYYYMMDD', '20261120', '2026-11-20'],
    ['YYYYMMDDTHHmmss', '20261120T235959', '2026-11-20T23:59:59'],
    ['MM/YYYY', '11/2026', '2026-11-01'],
    ['[DD]+(MM)*YYYY?', '[20]+(11)*2026?', '2026-11-20'],
    ['DD.MM.YYYY', '29.02.2028', '2028-02-29'],
  ])('%s reads %s', (format, text, iso) => {
    expect(createDateReader(format)(text)).toBe(iso);
  });

  test.each([
    ['DD.MM.YYYY', '20.11.26'],
    ['DD.MM.YYYY', '1.11.2026'],
    ['DD.MM.YYYY', '29.02.2026'],
    ['DD.MM.YYYY', '20.13.2026'],
    ['DD.MM.YYYY', '00.11.2026'],
    ['DD.MM.YYYY', '20.11.0000'],
    ['DD.MM.YYYY', '20.11.2026 '],
    ['DD.MM.YYYY', '20x11x2026'],
    ['DD.MM.YYYY HH:mm', '20.11.2026 24:00'],
    ['DD.MM.YYYY HH:mm', '20.11.2026 12:60'],
    ['M/D/YYYY h:mm A', '11/5/2026 13:05 PM'],
    ['M/D/YYYY h:mm A', '11/5/2026 0:05 AM'],
  ])('%s does not read %s', (format, text) => {
    expect(createDateReader(format)(text)).toBeNull();
  });

  test.each([
    ['DD.MM.YY', 'Two-digit years are ambiguous.'],
    ['DD MMM YYYY', 'Names of months are not supported.'],
    ['DD.MM', 'The year (YYYY) is missing.'],
    ['YYYY', 'The month (MM or M) is missing.'],
    ['DMYYYY', '"D" has one or two digits, so a separator must follow it.'],
    ['DD.DD.YYYY', 'The day appears twice.'],
    ['DD.MM.YYYY mm', 'Minutes need hours (HH, H, hh or h).'],
    ['DD.MM.YYYY HH:ss', 'Seconds need minutes (mm).'],
    ['MM.YYYY HH', 'Hours need a day (DD or D).'],
    ['DD.MM.YYYY hh:mm', 'hh and h go from 1 to 12 and need A (AM or PM)'],
    ['DD.MM.YYYY HH:mm A', 'hh and h go from 1 to 12 and need A (AM or PM)'],
    ['DD.MM.YYYY Z', '"Z" is not part of a format.'],
    ['DD.MM.YYYY 00', '"0" is not part of a format.'],
    ['', 'The year (YYYY) is missing.'],
    [`DD.MM.YYYY${'.'.repeat(40)}`, 'A format has at most 40 characters.'],
  ])('%s is rejected with the reason', (format, reason) => {
    expect(() => createDateReader(format)).toThrow(reason);
  });
});
