import { ApiError } from '../../api-client/errors.ts';
import { withRetry } from '../../api-client/retry.ts';
import { sendRecords } from '../../api-client/send-records.ts';
import { type Issue, ValidationError } from '../../errors/errors.ts';
import { listenForStop } from '../../process/shutdown-signals.ts';
import { findStreamNameProblem } from '../../streams/pipeline/inputs.ts';
import type { ClientContext } from '../command-context.ts';
import { type CsvColumns, type CsvOptions, placeOf } from '../ingest/csv-records.ts';
import { createDateReader, DateFormatProblem } from '../ingest/date-format.ts';
import { InputProblem } from '../ingest/input-encoding.ts';
import { openInput } from '../ingest/open-input.ts';
import { createPart, type Part, type PartWriter } from '../ingest/request-part.ts';
import { createIngestProgress, type IngestProgress } from '../ingest/ingest-progress.ts';
import { readRecords, type RecordsOptions } from '../ingest/read-records.ts';
import { LineIssues, refusedIndices, refusedLines } from '../ingest/line-errors.ts';
import { isThisMachine, type ServerFlags, type ServerPlace, typedPath, withServer } from '../api-endpoint.ts';

export interface IngestFlags extends ServerFlags {
  readonly stream: string;
  readonly kind: 'sum' | 'replace';
  readonly idempotencyKey?: string;
  readonly format?: NonNullable<RecordsOptions['format']>;
  readonly granularity?: string;
  readonly column: CsvOptions['columns'];
  readonly ignore: readonly string[];
  readonly delimiter?: string;
  readonly header?: readonly string[];
  readonly splitValues: boolean;
  readonly emptyAs?: string;
  readonly decimalComma: boolean;
  readonly dateFormat?: string;
  /** Records of one request. */
  readonly part?: number;
  /** Milliseconds for which a server that is away is waited for. */
  readonly patience: number;
}

/** Some 150 MB of NDJSON, which a server takes in within seconds. */
const PART_RECORDS = 1_000_000;
/** Written into each digest: a later version that makes other records of the same line has to change it. */
const KEY_VERSION = 'sluice ingest 1';

/**
 * Sends a file as one request or, where a sum is larger than one part, in parts, each all or nothing. The idempotency key of
 * a part follows from what is in it, its number, stream and kind, so the same input can be sent again whatever became of it
 * before: what is stored is answered from the ledger and counts once.
 */
export const ingestCommand = async (context: ClientContext, file: string, flags: IngestFlags): Promise<void> => {
  checkFlags(flags);
  const options = recordsOptions(flags);
  await withServer(flags, context.env, (server) => ingestFile(context, file, flags, options, server));
};

const ingestFile = async (
  context: ClientContext,
  file: string,
  flags: IngestFlags,
  options: RecordsOptions,
  server: ServerPlace,
): Promise<void> => {
  const { signal } = listenForStop();
  const input = await openInput(file === '-' ? file : typedPath(file, context.env), process.stdin);
  const progress = createIngestProgress(context.terminal, input);
  try {
    await sendAll(input.pieces, server, flags, options, progress, signal);
    progress.end(flags.stream, flags.kind);
  } catch (error) {
    progress.clear();
    if (!signal.aborted) {
      const whole = error instanceof InputProblem ? problem(error.message) : error;
      const words = progress.whereItStands();
      if (words !== '') context.terminal.say(words);
      throw whole;
    }
    context.terminal.say(`Stopped. ${progress.whereItStands()}`);
    context.onInterrupted();
  }
};

const checkFlags = ({ stream, kind, part, idempotencyKey, format, delimiter }: IngestFlags): void => {
  const nameProblem = findStreamNameProblem(stream);
  if (nameProblem !== null) throw problem(nameProblem);
  if (kind === 'replace' && part !== undefined) {
    throw problem(
      'A replace goes in one request: of two records with the same key in two parts the second would take the place of the first.',
    );
  }
  if (format === 'postgres' && delimiter !== undefined) {
    throw problem('--format postgres has tabs between cells: leave --delimiter out.');
  }
  if (idempotencyKey !== undefined && !/^.{1,240}$/u.test(idempotencyKey)) {
    throw problem('An idempotency key has 1 to 240 characters here: the number of a part may follow it.');
  }
};

const problem = (message: string): ValidationError => new ValidationError([{ path: [], code: 'BAD_VALUE', message }]);

const recordsOptions = (flags: IngestFlags): RecordsOptions => ({
  format: flags.format ?? null,
  delimiter: flags.delimiter ?? null,
  header: flags.header ?? null,
  columns: flags.column,
  ignored: flags.ignore,
  granularity: flags.granularity ?? null,
  splitValues: flags.splitValues,
  emptyAs: flags.emptyAs ?? null,
  decimalComma: flags.decimalComma,
  dateFormat: flags.dateFormat ?? null,
  readDate: flags.dateFormat === undefined ? null : dateReader(flags.dateFormat),
});

const dateReader = (format: string): RecordsOptions['readDate'] => {
  try {
    return createDateReader(format);
  } catch (error) {
    throw error instanceof DateFormatProblem ? problem(`--date-format ${format}: ${error.message}`) : error;
  }
};

const sendAll = async (
  pieces: AsyncIterable<Buffer>,
  server: ServerPlace,
  flags: IngestFlags,
  options: RecordsOptions,
  progress: IngestProgress,
  signal: AbortSignal,
): Promise<void> => {
  const { stream, kind } = flags;
  const partRecords = flags.part ?? (kind === 'replace' ? Number.POSITIVE_INFINITY : PART_RECORDS);
  let number = 1;
  const newPart = (): Promise<PartWriter> =>
    createPart({
      seed: `${KEY_VERSION}\n${kind}\n${stream}\n${number}\n`,
      // On this machine it would only take the server's time, and hide how far it is: so little waits in between.
      compressed: !isThisMachine(server.url),
    });
  let part = await newPart();
  const issues = new LineIssues();
  const source = readRecords(stoppable(pieces, signal), options);
  const throwIssues = (): void => issues.throwIfAny(source.columns?.words ?? null);
  const sendPart = async (): Promise<void> => {
    throwIssues();
    const full = await part.finish();
    progress.sends(number, full);
    await sendOne(full, keyOf(flags.idempotencyKey, full, number), server, flags, source.columns, progress, signal);
    await full.close();
    number += 1;
  };
  try {
    for await (const items of source.items) {
      for (const item of items) {
        if ('problem' in item) issues.add(item.line, item.place, item.problem);
        else part.add(item.record, item.line);
        if (part.count < partRecords) continue;
        await sendPart();
        part = await newPart();
      }
      await part.drain();
      progress.reads(number, part.count);
    }
    throwIssues();
    if (part.count > 0) await sendPart();
    else if (progress.storedParts === 0) throw problem('There is no record in it.');
  } finally {
    await part.close();
  }
};

/** The key of the person counts for the first part; the others have their number behind it. */
const keyOf = (given: string | undefined, { digest }: Part, number: number): string => {
  if (given === undefined) return `ingest-${digest}`;
  return number === 1 ? given : `${given} part ${number}`;
};

const sendOne = async (
  full: Part,
  idempotencyKey: string,
  server: ServerPlace,
  { stream, kind, patience }: IngestFlags,
  columns: CsvColumns | null,
  progress: IngestProgress,
  signal: AbortSignal,
): Promise<void> => {
  try {
    const receipt = await withRetry(
      () =>
        sendRecords({
          ...server,
          stream,
          kind,
          idempotencyKey,
          body: full,
          onSent: (bytes) => progress.sent(bytes),
          signal,
        }),
      { maxRetryMs: patience, signal, onRetry: (error) => progress.retries(error) },
    );
    progress.stored(full, receipt);
  } catch (error) {
    // What was answered with a refusal was not stored.
    if (error instanceof ApiError && error.status < 500) progress.refused();
    throw (error instanceof ApiError && (await refusalOf(error, full, columns))) || error;
  }
};

/** What the server refused, by the lines of the file, and by the columns and cells of CSV. */
const refusalOf = async (error: ApiError, full: Part, columns: CsvColumns | null): Promise<ValidationError | null> => {
  const records = columns === null ? new Map<number, string>() : await full.recordsAt(refusedIndices(error));
  return refusedLines(error, {
    lineOf: (index) => full.lineOf(index),
    placeOf: ({ index, path }) => {
      const column = columns?.columnOf(path) ?? null;
      const record = records.get(index);
      return column === null || record === undefined ? null : placeOf(column, textAt(record, path));
    },
    footer: columns && `${columns.words}${error.details.issues?.some(isOfTimestamp) ? `\n${OTHER_DATES}` : ''}`,
  });
};

const OTHER_DATES = 'Other forms of dates are read with --date-format, such as --date-format DD.MM.YYYY.';

const isOfTimestamp = ({ path, code }: Issue): boolean => code === 'BAD_TIMESTAMP' && path.at(-1) === 'timestamp';

/** The field of a record; of a list that is named as a whole, all of it. */
const textAt = (record: string, path: readonly string[]): string => {
  let value: unknown = JSON.parse(record);
  for (const name of path) value = (value as Record<string, unknown> | undefined)?.[name];
  return Array.isArray(value) ? value.join('|') : typeof value === 'string' ? value : '';
};

const stoppable = async function* stop(pieces: AsyncIterable<Buffer>, signal: AbortSignal): AsyncGenerator<Buffer> {
  for await (const piece of pieces) {
    signal.throwIfAborted();
    yield piece;
  }
};
