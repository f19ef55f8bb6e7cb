import { type Command, InvalidArgumentError, Option } from 'commander';
import { findTimeZone, timeZoneProblem } from '../lib/time-zones.ts';
import { INPUT_FORMATS, type Role, ROLES } from './ingest/csv-records.ts';
import type { IngestFlags } from './commands/ingest.ts';
import type { ClientContext } from './command-context.ts';
import type { UsageFlags } from './commands/usage.ts';
import type { WatchFlags } from './commands/export-watch.ts';
import { readRange } from './time-range.ts';

/** The commands that speak to a server through its API, with a key, as clients do. */
export const addClientCommands = (program: Command, context: ClientContext): void => {
  withServer(program.command('usage'))
    .description('Draw the usage of a stream: a line with total, share, least, most and bars for each group')
    .argument('<stream>')
    .addOption(
      new Option('--by <dimensions>', 'element and dimensions of the stream, with commas between them')
        .argParser(readNames)
        .default(['element'], 'element'),
    )
    .addOption(new Option('--bucket <bucket>', 'what a bar stands for').choices(BUCKETS).default('day'))
    .option('--range <range>', 'how far back: ago(30d), or 30d for short; with d, h or m (default: 30d)', readAgo)
    .option('--from <moment>', 'in place of a range: 2026-01-25, or 2026-01-25T06:00:00Z')
    .option('--to <moment>', 'where it ends, not included (default: now)')
    .option('--time-zone <zone>', 'of dates and buckets', readTimeZone, 'UTC')
    .addOption(
      new Option('--filter <dimension=value>', 'only this; again for more values or dimensions')
        .argParser(readFilter)
        .default([], 'all'),
    )
    .option('--top <count>', 'how many groups have a line of their own (default: 20, with --json all)', readCount)
    .option('--json', 'for programs; decimals are strings', false)
    .action(async (stream: string, flags: UsageFlags) =>
      (await import('./commands/usage.ts')).usageCommand(context, stream, flags),
    );
  const exporting = program.command('export').description('Runs of export jobs');
  withServer(exporting.command('watch'))
    .description('Follow a run to its end; ends with 0 where it succeeds, else with 1')
    .argument('[run]', 'its id, as the API shows it')
    .option('--job <name>', 'in place of an id: the newest run of this job')
    .option('--next', 'with --job: the run that is under way, or the next that begins', false)
    .action(async (run: string | undefined, flags: WatchFlags) =>
      (await import('./commands/export-watch.ts')).watchCommand(context, run, flags),
    );
  withServer(program.command('ingest'))
    .description(
      'Send records from a file, or from standard input: NDJSON or CSV, also compressed with gzip. Starting it again with the same input counts nothing twice',
    )
    .argument('<file>', 'or - for standard input')
    .requiredOption('--stream <name>', 'that the records are for')
    .addOption(new Option('--kind <kind>', 'what is done with them').choices(['sum', 'replace']).default('sum'))
    .option(
      '--idempotency-key <key>',
      'in place of the one that follows from the records; of later parts with their number',
    )
    .addOption(
      new Option(
        '--format <format>',
        'of the file, if its first line does not show it; postgres: the text format of COPY',
      ).choices(INPUT_FORMATS),
    )
    .addOption(new Option('--granularity <granularity>', 'CSV: of all records').choices(['hourly', 'daily', 'monthly']))
    .addOption(
      new Option('--column <what=name>', `CSV: the column that is the ${ROLES.join(', the ')}`)
        .argParser(readColumn)
        .default({}, 'by their names'),
    )
    .addOption(
      new Option('--ignore <column>', 'CSV: a column that is no dimension; again for more')
        .argParser(readMore)
        .default([], 'none'),
    )
    .option('--header <columns>', 'CSV: the columns of a file without a header, with commas between them', readNames)
    .option(
      '--delimiter <character>',
      'CSV: the character between cells, or the word tab (default: that of a line sep=, or of the first row)',
      readDelimiter,
    )
    .option('--decimal-comma', 'CSV: values have a comma before their decimals: 1200,5', false)
    .option(
      '--date-format <format>',
      'CSV: the format of timestamps that are not ISO 8601, such as DD.MM.YYYY HH:mm or M/D/YYYY h:mm A; UTC',
    )
    .option('--empty-as <value>', 'CSV: the value of a dimension for an empty cell, which is an error otherwise')
    .option('--split-values', 'CSV: cells hold several values with | between them, as exports write them', false)
    .option(
      '--part <records>',
      'of one request; the same at each start (default: 1000000, of a replace all)',
      readCount,
    )
    .addOption(
      new Option('--patience <time>', 'how long a server that is away is waited for: 30s, 10m, 2h')
        .argParser(readPatience)
        .default(600_000, '10m'),
    )
    .action(async (file: string, flags: IngestFlags) =>
      (await import('./commands/ingest.ts')).ingestCommand(context, file, flags),
    );
};

const BUCKETS = ['hour', 'day', 'week', 'month'];

const withServer = (command: Command): Command =>
  command
    .option('--url <address>', 'of the server (default: SLUICE_URL, else this machine with PORT)')
    .option('--key-file <file>', 'holds the key (default: API_KEY, else the one of local mode)');

const readNames = (text: string): string[] => text.split(',');

const readAgo = (text: string): string => {
  const range = readRange(text);
  if (range === null) throw new InvalidArgumentError('It is a number and d, h or m, such as 30d or ago(30d).');
  return range;
};

const readTimeZone = (text: string): string => {
  const found = findTimeZone(text);
  if (found === null) throw new InvalidArgumentError(timeZoneProblem(text));
  return found;
};

const readFilter = (text: string, before: UsageFlags['filter']): UsageFlags['filter'] => {
  const at = text.indexOf('=');
  if (at < 1) throw new InvalidArgumentError('It is a dimension and a value, such as region=eu.');
  const dimension = text.slice(0, at);
  const values = before.find((entry) => entry.dimension === dimension)?.values ?? [];
  return [
    ...before.filter((entry) => entry.dimension !== dimension),
    { dimension, values: [...values, text.slice(at + 1)] },
  ];
};

const readMore = (text: string, before: readonly string[]): readonly string[] => [...before, text];

const readColumn = (text: string, before: IngestFlags['column']): IngestFlags['column'] => {
  const [, role, name] = /^(\w+)=(.+)$/.exec(text) ?? [];
  if (!ROLES.some((one) => one === role)) {
    throw new InvalidArgumentError(`It is one of ${ROLES.join(', ')} and a column, such as element=Customer.`);
  }
  return { ...before, [role as Role]: name };
};

const readDelimiter = (text: string): string => {
  if (text === 'tab') return '\t';
  if (!/^[^"\r\n\\]$/.test(text)) throw new InvalidArgumentError('It is one character, or the word tab.');
  return text;
};

const PATIENCE_UNITS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000 };

const readPatience = (text: string): number => {
  const match = /^(\d{1,5})([smh])$/.exec(text);
  if (!match) throw new InvalidArgumentError('It is a number and s, m or h, such as 10m.');
  return Number(match[1]) * (PATIENCE_UNITS[match[2] ?? ''] ?? 0);
};

const readCount = (text: string): number => {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError('It is a whole number from 1 to 999999999.');
  return Number(text);
};
