import { ApiError } from '../../api-client/errors.ts';
import { withRetry } from '../../api-client/retry.ts';
import { sendRecords } from '../../api-client/send-records.ts';
import { listenForStopSignals } from '../../process/shutdown-signals.ts';
import { findStreamNameProblem } from '../../streams/pipeline/inputs.ts';
import {
  type ApiEndpoint,
  type EndpointOptions,
  isThisMachine,
  resolveTypedPath,
  withEndpoint,
} from '../api-endpoint.ts';
import type { ClientContext } from '../command-context.ts';
import { CommandError, UsageError } from '../command-error.ts';
import type { CsvColumns } from '../ingest/csv-records.ts';
import { createDateReader, guessGranularity } from '../ingest/date-format.ts';
import { createIngestProgress, type IngestProgress, toJsonReading } from '../ingest/ingest-progress.ts';
import { findRejectedIndices, LineErrors, toLineErrors } from '../ingest/line-errors.ts';
import { openInput } from '../ingest/open-input.ts';
import { readRecords, type RecordsOptions, type RecordSource } from '../ingest/read-records.ts';
import { describeField, describeFile } from '../ingest/record-location.ts';
import { createPart, type PartWriter, type RequestPart } from '../ingest/request-part.ts';

export interface IngestFlags extends EndpointOptions {
  readonly stream: string;
  readonly kind: 'sum' | 'replace';
  readonly idempotencyKey?: string;
  readonly format?: NonNullable<RecordsOptions['format']>;
  readonly granularity?: string;
  readonly column: RecordsOptions['columns'];
  readonly ignore: readonly string[];
  readonly encoding?: string;
  readonly delimiter?: string;
  readonly header?: readonly string[];
  readonly splitValues?: boolean;
  readonly emptyAs?: string;
  readonly decimalComma?: boolean;
  readonly dateFormat?: string;
  /** Number of decimals. */
  readonly round?: number;
  readonly dryRun?: boolean;
  readonly json?: boolean;
  /** Maximum number of records per request. */
  readonly part?: number;
  /** Milliseconds for which requests are retried while the server is unavailable. */
  readonly patience: number;
}

/** About 150 MB of NDJSON, which a server stores within seconds. */
const DEFAULT_PART_RECORDS = 1_000_000;
/** Part of each digest. Change it if the same line becomes another record in a later version. */
const KEY_VERSION = 'sluice ingest 1';

/**
 * Sends the input in parts; a replace is always one part. The server stores a part completely or not at all. The idempotency key of a
 * part is derived from its records, number, stream and kind, so an interrupted command can be run again: the server returns the
 * stored receipts of earlier parts, and no record counts twice.
 */
export async function ingestCommand(context: ClientContext, file: string, flags: IngestFlags): Promise<void> {
  assertFlags(flags);
  const options = toRecordsOptions(flags);
  if (flags.dryRun) await checkFile(context, file, flags, options);
  else await withEndpoint(flags, context.env, (endpoint) => ingestFile(context, file, flags, options, endpoint));
}

function assertFlags(flags: IngestFlags): void {
  const { stream, kind, part, idempotencyKey, format, delimiter } = flags;
  const nameProblem = findStreamNameProblem(stream);
  if (nameProblem !== null) throw new UsageError(nameProblem);
  if (kind === 'replace' && part !== undefined) {
    throw new UsageError(
      'A replace is always one request, so --part cannot be used: if two parts contained the same record key, the second would replace the first.',
    );
  }
  if (format === 'postgres' && delimiter !== undefined) {
    throw new UsageError('--format postgres always has tabs between cells. Remove --delimiter.');
  }
  const csvOption = format === 'ndjson' ? findCsvOption(flags) : null;
  if (csvOption !== null) throw new UsageError(`${csvOption} is an option for CSV. Remove it, or use --format csv.`);
  if (idempotencyKey !== undefined && !/^.{1,240}$/u.test(idempotencyKey)) {
    throw new UsageError('--idempotency-key must have 1 to 240 characters, since the number of a part is appended.');
  }
}

function toRecordsOptions(flags: IngestFlags): RecordsOptions {
  return {
    format: flags.format ?? null,
    encoding: flags.encoding ?? null,
    delimiter: flags.delimiter ?? null,
    header: flags.header ?? null,
    columns: flags.column,
    ignored: flags.ignore,
    granularity: flags.granularity ?? (flags.dateFormat === undefined ? null : guessGranularity(flags.dateFormat)),
    splitValues: flags.splitValues ?? false,
    emptyAs: flags.emptyAs ?? null,
    decimalComma: flags.decimalComma ?? false,
    round: flags.round ?? null,
    dateFormat: flags.dateFormat ?? null,
    readDate: flags.dateFormat === undefined ? null : createDateReader(flags.dateFormat),
  };
}

/** Returns the first option that is only for CSV; null if none is given. */
function findCsvOption(flags: IngestFlags): string | null {
  const given = {
    '--granularity': flags.granularity !== undefined,
    '--column': Object.keys(flags.column).length > 0,
    '--ignore': flags.ignore.length > 0,
    '--header': flags.header !== undefined,
    '--delimiter': flags.delimiter !== undefined,
    '--decimal-comma': flags.decimalComma === true,
    '--date-format': flags.dateFormat !== undefined,
    '--round': flags.round !== undefined,
    '--empty-as': flags.emptyAs !== undefined,
    '--split-values': flags.splitValues === true,
  };
  return Object.entries(given).find(([, isGiven]) => isGiven)?.[0] ?? null;
}

/** Yields the items, after it has shown how the input is read. */
async function* showReading(source: RecordSource, flags: IngestFlags, progress: IngestProgress): RecordSource['items'] {
  let isShown = false;
  for await (const items of source.items) {
    if (!isShown && source.reading !== null) {
      isShown = true;
      const option = source.reading.format === 'ndjson' ? findCsvOption(flags) : null;
      if (option !== null) {
        throw new CommandError(
          `${option} is an option for CSV, and the input is NDJSON. Remove it, or use --format csv.`,
        );
      }
      progress.showReading(source.reading);
    }
    yield items;
  }
}

/** Checks the file as a server would, and prints what would be stored. */
async function checkFile(
  { terminal, env, clock, onInterrupted }: ClientContext,
  file: string,
  flags: IngestFlags,
  options: RecordsOptions,
): Promise<void> {
  const { signal } = listenForStopSignals();
  const input = await openInput(file === '-' ? file : resolveTypedPath(file, env), process.stdin, signal);
  const progress = createIngestProgress(terminal, input, { json: flags.json === true, isSent: false });
  const source = readRecords(untilAborted(input.chunks, signal), options);
  const { checkItems, formatSummary } = await import('../ingest/dry-run.ts');
  try {
    const summary = await checkItems(showReading(source, flags, progress), () => source.reading, {
      stream: flags.stream,
      kind: flags.kind,
      now: clock.now(),
      onRead: (records) => progress.onRead(1, records),
    });
    progress.clear();
    const parts = Math.max(1, Math.ceil(summary.records / maxRecordsPerPart(flags)));
    const { columns = null } = source.reading ?? {};
    const roundedValues = columns?.roundedValues ?? 0;
    terminal.print(
      flags.json
        ? `${JSON.stringify({ stream: flags.stream, kind: flags.kind, dryRun: true, ...summary, parts, roundedValues, reading: source.reading && toJsonReading(source.reading) })}\n`
        : formatSummary(flags.stream, summary, parts, roundedValues),
    );
  } catch (error) {
    progress.clear();
    if (!signal.aborted) throw error;
    onInterrupted();
  }
}

function maxRecordsPerPart({ part, kind }: IngestFlags): number {
  return part ?? (kind === 'replace' ? Number.POSITIVE_INFINITY : DEFAULT_PART_RECORDS);
}

async function ingestFile(
  { terminal, env, onInterrupted }: ClientContext,
  file: string,
  flags: IngestFlags,
  options: RecordsOptions,
  endpoint: ApiEndpoint,
): Promise<void> {
  const { signal } = listenForStopSignals();
  const input = await openInput(file === '-' ? file : resolveTypedPath(file, env), process.stdin, signal);
  const progress = createIngestProgress(terminal, input, { json: flags.json === true, isSent: true });
  try {
    await sendParts(input.chunks, { endpoint, flags, options, progress, signal });
    progress.showEnd(flags.stream, flags.kind);
  } catch (error) {
    progress.clear();
    if (!signal.aborted) {
      const state = progress.describeState();
      if (state !== '') terminal.message(state);
      throw error;
    }
    terminal.message(`Stopped. ${progress.describeState()}`);
    onInterrupted();
  }
}

interface Ingestion {
  readonly endpoint: ApiEndpoint;
  readonly flags: IngestFlags;
  readonly options: RecordsOptions;
  readonly progress: IngestProgress;
  readonly signal: AbortSignal;
}

async function sendParts(chunks: AsyncIterable<Buffer>, ingestion: Ingestion): Promise<void> {
  const { endpoint, flags, options, progress, signal } = ingestion;
  const maxRecords = maxRecordsPerPart(flags);
  let number = 1;
  const startPart = (): Promise<PartWriter> =>
    createPart({
      seed: `${KEY_VERSION}\n${flags.kind}\n${flags.stream}\n${number}\n`,
      // On this machine compression would only take processor time of the server, and buffering would hide its progress.
      compressed: !isThisMachine(endpoint.url),
    });
  let part = await startPart();
  const errors = new LineErrors();
  const source = readRecords(untilAborted(chunks, signal), options);
  const throwErrors = (): void => errors.throwIfAny(source.reading?.columns?.description ?? null);
  const sendPart = async (): Promise<void> => {
    throwErrors();
    const content = await part.finish();
    progress.onSend(number, content);
    await send(content, deriveKey(flags.idempotencyKey, content, number), source.reading?.columns ?? null, ingestion);
    await content.close();
    number += 1;
  };
  try {
    for await (const items of showReading(source, flags, progress)) {
      for (const item of items) {
        if ('problem' in item) errors.add(item.line, item.location, item.problem);
        else part.add(item.record, item.line);
        if (part.count < maxRecords) continue;
        await sendPart();
        part = await startPart();
      }
      await part.drain();
      progress.onRead(number, part.count);
    }
    throwErrors();
    if (part.count > 0) await sendPart();
    else if (progress.storedParts === 0) throw new CommandError('The input contains no records.');
  } finally {
    await part.close();
  }
}

/** Returns the key of the option for the first part, and appends the number for later ones. */
function deriveKey(option: string | undefined, { digest }: RequestPart, number: number): string {
  if (option === undefined) return `ingest-${digest}`;
  return number === 1 ? option : `${option} part ${number}`;
}

async function send(
  content: RequestPart,
  idempotencyKey: string,
  columns: CsvColumns | null,
  { endpoint, flags, progress, signal }: Ingestion,
): Promise<void> {
  const { stream, kind, patience } = flags;
  const request = { ...endpoint, stream, kind, idempotencyKey, body: content, onSent: progress.onSent, signal };
  try {
    const receipt = await withRetry(() => sendRecords(request), {
      maxRetryMs: patience,
      signal,
      onRetry: progress.onRetry,
    });
    progress.onStored(content, receipt);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.status < 500) progress.onRejected();
    throw (await locateIssues(error, content, columns)) ?? error;
  }
}

/** Names what the server rejected by the lines of the input, and by columns and cells of CSV. Null if there are no issues. */
async function locateIssues(
  error: ApiError,
  content: RequestPart,
  columns: CsvColumns | null,
): Promise<CommandError | null> {
  const records = columns === null ? new Map<number, string>() : await content.readRecords(findRejectedIndices(error));
  return toLineErrors(error, {
    lineOf: content.lineOf,
    describeCell: ({ index, path }) => describeField(columns, records.get(index), path),
    footer: describeFile(columns, error.details.issues ?? []),
  });
}

async function* untilAborted(chunks: AsyncIterable<Buffer>, signal: AbortSignal): AsyncGenerator<Buffer> {
  for await (const chunk of chunks) {
    signal.throwIfAborted();
    yield chunk;
  }
  // The end of an input that a signal ended is not the end of the records.
  signal.throwIfAborted();
}
