/**
 * Run by linear-work.test.ts in a process of its own. For each message with the name of a text and its length, it reads the text as
 * a CSV file, and sends the CPU time of that.
 */
import { readRecords, type RecordsOptions } from '../../src/cli/ingest/read-records.ts';
import { CSV_TEXTS } from './worst-texts.ts';

export interface CsvRequest {
  readonly name: string;
  readonly bytes: number;
}

export interface CsvResponse {
  /** Milliseconds of CPU time. */
  readonly ms: number;
  /** Records and issues. */
  readonly items: number;
}

const CSV: RecordsOptions = {
  format: 'csv',
  encoding: null,
  delimiter: null,
  header: null,
  columns: {},
  ignored: [],
  granularity: 'DAILY',
  splitValues: true,
  emptyAs: null,
  decimalComma: false,
  round: 2,
  readDate: null,
  dateFormat: null,
};

async function* piecesOf(text: string): AsyncGenerator<Buffer> {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += 65_536) yield bytes.subarray(at, at + 65_536);
}

async function read(text: string): Promise<CsvResponse> {
  const before = process.cpuUsage();
  let items = 0;
  try {
    for await (const some of readRecords(piecesOf(text), CSV).items) items += some.length;
  } catch {
    // The file cannot be read to its end.
    items += 1;
  }
  const { user, system } = process.cpuUsage(before);
  return { ms: (user + system) / 1000, items };
}

process.on('message', ({ name, bytes }: CsvRequest) => {
  void read(CSV_TEXTS[name]?.(bytes) ?? '').then((response) => process.send?.(response));
});
process.on('disconnect', () => process.exit());
