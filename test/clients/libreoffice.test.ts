import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { parse } from 'csv-parse/sync';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { addRecords, exportOnce, type Settings } from '../support/job-steps.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { findProgram } from './debian-program.ts';

// Opens files of both CSV dialects in a spreadsheet.

const soffice = await findProgram('soffice');

const SLOT = '2026-01-28T02:00:00Z';
const TEXTS = [`=cmd|'/c calc'!A1`, '=1+1', '+1+1', '@SUM(1)', 'Müller', 'a,b;c', 'say "x"'];

/** Opens the CSV as a spreadsheet, stores it as xlsx, and returns the cells of that. */
const openInCalc = async (csv: Buffer, delimiter: string): Promise<string[][]> => {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-calc-'));
  const convert = (to: string, file: string, filter: string[] = []) =>
    promisify(execFile)(soffice ?? '', [
      `-env:UserInstallation=file://${folder}/profile`,
      '--headless',
      ...filter,
      '--convert-to',
      to,
      '--outdir',
      folder,
      join(folder, file),
    ]);
  try {
    await writeFile(join(folder, 'usage.csv'), csv);
    // Separator, quote, UTF-8, first line; column formats and language as detected; not all quoted cells as text; detect
    // special numbers; and, as Excel does, evaluate formulas.
    const separator = delimiter.charCodeAt(0);
    await convert('xlsx', 'usage.csv', [`--infilter=CSV:${separator},34,76,1,,0,false,true,false,false,false,-1,true`]);
    await rm(join(folder, 'usage.csv'));
    await convert('csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,true,false', 'usage.xlsx');
    return parse(await readFile(join(folder, 'usage.csv')));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
};

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
  await addRecords(
    server,
    'finance',
    'DAILY',
    TEXTS.map((elementName, index) => ({ timestamp: '2026-01-25T00:00:00Z', elementName, value: `${index}.5` })),
  );
});
afterAll(() => server.stop());

const shown = async (settings: Settings, delimiter: string): Promise<string[][]> => {
  const job = { meterApiNames: ['finance'], groupBy: ['element'], ...settings };
  const { bodies } = await exportOnce(server, job, SLOT);
  return openInCalc(bodies[0] ?? Buffer.alloc(0), delimiter);
};

describe.skipIf(soffice === null)('LibreOffice Calc', () => {
  test.each([
    ['COMMA', ','],
    ['SEMICOLON', ';'],
  ])('shows all texts of csvDialect EXCEL with csvDelimiter %s, and executes none', async (csvDelimiter, delimiter) => {
    const [header, ...rows] = await shown({ csvDialect: 'EXCEL', csvDelimiter }, delimiter);
    expect(header).toEqual(['meterApiName', 'bucketStart', 'bucketEnd', 'element', 'value']);
    const cells = Object.fromEntries(rows.map((row) => [row[3], row[4]]));
    expect(cells).toEqual(
      Object.fromEntries(TEXTS.map((text, index) => [/^[=+@]/.test(text) ? `'${text}` : text, `${index}.5`])),
    );
  });

  test('executes a formula of csvDialect STANDARD, which is not for spreadsheets', async () => {
    const rows = await shown({}, ',');
    expect(rows.map((row) => row[3])).toContain('2');
    expect(rows.map((row) => row[3])).not.toContain('=1+1');
  });
});
