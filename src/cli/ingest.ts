import { ApiError } from '../client/graphql-client.ts';
import { patiently } from '../client/patience.ts';
import { sendRecords } from '../client/send-records.ts';
import { ValidationError } from '../errors.ts';
import { createLineSplitter, eachLine, type Line } from '../lib/lines.ts';
import { listenForStop } from '../stop-signals.ts';
import { streamNameProblem } from '../streams/inputs.ts';
import type { ClientContext } from './command.ts';
import { CsvProblem, type CsvOptions } from './csv-records.ts';
import { openInput } from './ingest-input.ts';
import { createPart, type Part, type PartWriter } from './ingest-part.ts';
import { createIngestProgress, type IngestProgress } from './ingest-progress.ts';
import { createRecordsReader } from './ingest-records.ts';
import { LineIssues, refusedLines } from './line-issues.ts';
import { findServer, isThisMachine, type ServerFlags, type ServerPlace, typedPath } from './server-place.ts';

export interface IngestFlags extends ServerFlags {
  readonly stream: string;
  readonly kind: 'sum' | 'replace';
  readonly idempotencyKey?: string;
  readonly format?: 'ndjson' | 'csv';
  readonly granularity?: string;
  readonly column: CsvOptions['columns'];
  readonly ignore: readonly string[];
  readonly delimiter: string;
  readonly splitValues: boolean;
  /** Records of one request. */
  readonly part?: number;
  /** Milliseconds for which a server that is away is waited for. */
  readonly patience: number;
}

/** Some 150 MB of NDJSON, which a server takes in within seconds. */
const PART_RECORDS = 1_000_000;
/** As the server has it. */
const MAX_LINE_BYTES = 1024 * 1024;
/** Written into each digest: a later version that makes other records of the same line has to change it. */
const KEY_VERSION = 'sluice ingest 1';

/**
 * Sends a file as one request or, where a sum is larger than one part, in parts, each all or nothing. The idempotency key of
 * a part follows from what is in it, its number, stream and kind, so the same input can be sent again whatever became of it
 * before: what is stored is answered from the ledger and counts once.
 */
export const ingestCommand = async (context: ClientContext, file: string, flags: IngestFlags): Promise<void> => {
  checkFlags(flags);
  const server = await findServer(flags, context.env);
  const { signal } = listenForStop();
  const input = await openInput(file === '-' ? file : typedPath(file, context.env), process.stdin);
  const progress = createIngestProgress(context.terminal, input);
  try {
    await sendAll(input.pieces, server, flags, progress, signal);
    progress.end(flags.stream, flags.kind);
  } catch (error) {
    progress.clear();
    if (!signal.aborted) {
      const whole = error instanceof CsvProblem ? problem(error.message) : error;
      const words = progress.whereItStands();
      if (words !== '') context.terminal.say(words);
      throw whole;
    }
    context.terminal.say(`Stopped. ${progress.whereItStands()}`);
    context.onInterrupted();
  }
};

const checkFlags = ({ stream, kind, part, idempotencyKey }: IngestFlags): void => {
  const nameProblem = streamNameProblem(stream);
  if (nameProblem !== null) throw problem(nameProblem);
  if (kind === 'replace' && part !== undefined) {
    throw problem(
      'A replace goes in one request: of two records with the same key in two parts the second would take the place of the first.',
    );
  }
  if (idempotencyKey !== undefined && !/^.{1,240}$/v.test(idempotencyKey)) {
    throw problem('An idempotency key has 1 to 240 characters here: the number of a part may follow it.');
  }
};

const problem = (message: string): ValidationError => new ValidationError([{ path: [], code: 'BAD_VALUE', message }]);

const sendAll = async (
  pieces: AsyncIterable<Buffer>,
  server: ServerPlace,
  flags: IngestFlags,
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
  const reader = createRecordsReader(
    {
      format: flags.format ?? null,
      delimiter: flags.delimiter,
      columns: flags.column,
      ignored: flags.ignore,
      granularity: flags.granularity ?? null,
      splitValues: flags.splitValues,
    },
    { add: (record, line) => part.add(record, line), problem: (line, message) => issues.add(line, message) },
  );
  const sendPart = async (): Promise<void> => {
    issues.throwIfAny();
    const full = await part.finish();
    progress.sends(number, full);
    await sendOne(full, keyOf(flags.idempotencyKey, full, number), server, flags, progress, signal);
    await full.close();
    number += 1;
  };
  const take = async (lines: Iterable<Line>): Promise<void> => {
    for (const line of lines) {
      reader.read(line);
      if (part.count < partRecords) continue;
      await sendPart();
      part = await newPart();
    }
  };
  try {
    const splitter = createLineSplitter(MAX_LINE_BYTES);
    for await (const piece of pieces) {
      signal.throwIfAborted();
      await take(eachLine(splitter.lines(piece)));
      await part.drain();
      progress.reads(number, part.count);
    }
    await take(eachLine(splitter.rest()));
    reader.end();
    issues.throwIfAny();
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
  progress: IngestProgress,
  signal: AbortSignal,
): Promise<void> => {
  try {
    const receipt = await patiently(
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
      { patienceMs: patience, signal, onRetry: (error, waitMs) => progress.retries(error, waitMs) },
    );
    progress.stored(full, receipt);
  } catch (error) {
    // What was answered with a refusal was not stored.
    if (error instanceof ApiError && error.status < 500) progress.refused();
    throw (error instanceof ApiError && refusedLines(error, (index) => full.lineOf(index))) || error;
  }
};
