import { ApiError } from '../../api-client/errors.ts';
import { withRetry } from '../../api-client/retry.ts';
import { sendRecords } from '../../api-client/send-records.ts';
import type { Issue } from '../../errors/errors.ts';
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
import { CommandError } from '../command-error.ts';
import { type CsvColumns, describeCell } from '../ingest/csv-records.ts';
import { createDateReader } from '../ingest/date-format.ts';
import { createIngestProgress, type IngestProgress } from '../ingest/ingest-progress.ts';
import { findRejectedIndices, LineErrors, toLineErrors } from '../ingest/line-errors.ts';
import { openInput } from '../ingest/open-input.ts';
import { readRecords, type RecordsOptions } from '../ingest/read-records.ts';
import { createPart, type PartWriter, type RequestPart } from '../ingest/request-part.ts';

export interface IngestFlags extends EndpointOptions {
  readonly stream: string;
  readonly kind: 'sum' | 'replace';
  readonly idempotencyKey?: string;
  readonly format?: NonNullable<RecordsOptions['format']>;
  readonly granularity?: string;
  readonly column: RecordsOptions['columns'];
  readonly ignore: readonly string[];
  readonly delimiter?: string;
  readonly header?: readonly string[];
  readonly splitValues?: boolean;
  readonly emptyAs?: string;
  readonly decimalComma?: boolean;
  readonly dateFormat?: string;
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
  await withEndpoint(flags, context.env, (endpoint) => ingestFile(context, file, flags, options, endpoint));
}

function assertFlags({ stream, kind, part, idempotencyKey, format, delimiter }: IngestFlags): void {
  const nameProblem = findStreamNameProblem(stream);
  if (nameProblem !== null) throw new CommandError(nameProblem);
  if (kind === 'replace' && part !== undefined) {
    throw new CommandError(
      'A replace is always one request, so --part cannot be used: if two parts contained the same record key, the second would replace the first.',
    );
  }
  if (format === 'postgres' && delimiter !== undefined) {
    throw new CommandError('--format postgres always has tabs between cells. Remove --delimiter.');
  }
  if (idempotencyKey !== undefined && !/^.{1,240}$/u.test(idempotencyKey)) {
    throw new CommandError('--idempotency-key must have 1 to 240 characters, since the number of a part is appended.');
  }
}

function toRecordsOptions(flags: IngestFlags): RecordsOptions {
  return {
    format: flags.format ?? null,
    delimiter: flags.delimiter ?? null,
    header: flags.header ?? null,
    columns: flags.column,
    ignored: flags.ignore,
    granularity: flags.granularity ?? null,
    splitValues: flags.splitValues ?? false,
    emptyAs: flags.emptyAs ?? null,
    decimalComma: flags.decimalComma ?? false,
    dateFormat: flags.dateFormat ?? null,
    readDate: flags.dateFormat === undefined ? null : createDateReader(flags.dateFormat),
  };
}

async function ingestFile(
  { terminal, env, onInterrupted }: ClientContext,
  file: string,
  flags: IngestFlags,
  options: RecordsOptions,
  endpoint: ApiEndpoint,
): Promise<void> {
  const { signal } = listenForStopSignals();
  const input = await openInput(file === '-' ? file : resolveTypedPath(file, env), process.stdin);
  const progress = createIngestProgress(terminal, input);
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
  const maxRecords = flags.part ?? (flags.kind === 'replace' ? Number.POSITIVE_INFINITY : DEFAULT_PART_RECORDS);
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
  const throwErrors = (): void => errors.throwIfAny(source.columns?.description ?? null);
  const sendPart = async (): Promise<void> => {
    throwErrors();
    const content = await part.finish();
    progress.onSend(number, content);
    await send(content, deriveKey(flags.idempotencyKey, content, number), source.columns, ingestion);
    await content.close();
    number += 1;
  };
  try {
    for await (const items of source.items) {
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
    describeCell: ({ index, path }) => {
      const column = columns?.columnOf(path) ?? null;
      const record = records.get(index);
      return column === null || record === undefined ? null : describeCell(column, findText(record, path));
    },
    footer: columns && `${columns.description}${error.details.issues?.some(isTimestampIssue) ? DATE_FORMAT_HINT : ''}`,
  });
}

const DATE_FORMAT_HINT = '\nUse --date-format for dates in another format, such as --date-format DD.MM.YYYY.';

const isTimestampIssue = ({ path, code }: Issue): boolean => code === 'BAD_TIMESTAMP' && path.at(-1) === 'timestamp';

/** Returns the field of a record; the elements of a list are joined with `|`. */
function findText(record: string, path: readonly string[]): string {
  let value: unknown = JSON.parse(record);
  for (const name of path) value = (value as Record<string, unknown> | undefined)?.[name];
  return Array.isArray(value) ? value.join('|') : typeof value === 'string' ? value : '';
}

async function* untilAborted(chunks: AsyncIterable<Buffer>, signal: AbortSignal): AsyncGenerator<Buffer> {
  for await (const chunk of chunks) {
    signal.throwIfAborted();
    yield chunk;
  }
}
