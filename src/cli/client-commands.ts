import { type Command, Option } from 'commander';
import { addBackfillCommands } from './backfill-commands.ts';
import type { ClientContext } from './command-context.ts';
import type { IngestFlags } from './commands/ingest.ts';
import type { UsageFlags } from './commands/usage.ts';
import { addCorrectionCommands } from './correction-commands.ts';
import { addDeliveryCommands } from './delivery-commands.ts';
import { addDestinationCommands } from './destination-commands.ts';
import { addEndpointOptions } from './endpoint-options.ts';
import { ROLES } from './ingest/csv-columns.ts';
import { INPUT_FORMATS } from './ingest/csv-records.ts';
import { addJobCommands } from './job-commands.ts';
import {
  appendValue,
  parseAgoRange,
  parseCount,
  parseDecimals,
  parseDelimiter,
  parseDuration,
  parseEncoding,
  parseFilter,
  parseList,
  parseColumn,
  parseTimeZone,
  parseTop,
} from './option-values.ts';
import { addRunCommands } from './run-commands.ts';
import { addStreamCommands } from './stream-commands.ts';

/** Adds the commands that are clients of the API. */
export function addClientCommands(program: Command, context: ClientContext): void {
  addEndpointOptions(program.command('usage'))
    .description('Show the usage of a stream: total, share, minimum, maximum and a bar chart of each group')
    .argument('<stream>', 'name of the stream')
    .addOption(
      new Option('--by, --group-by <dimensions>', 'comma-separated: element, and dimensions of the stream')
        .argParser(parseList)
        .default(['element'], 'element'),
    )
    .addOption(
      new Option('--bucket <bucket>', 'length of a bucket, which is one bar')
        .choices(['hour', 'day', 'week', 'month'])
        .default('day'),
    )
    .option(
      '--range <range>',
      'range that ends at --to, such as 30d or ago(30d), in d, h or m (default: 30d)',
      parseAgoRange,
    )
    .option('--from <time>', 'start, instead of --range: 2026-01-25 or 2026-01-25T06:00:00Z')
    .option('--to <time>', 'end, exclusive (default: end of the last whole bucket)')
    .option('--time-zone <zone>', 'IANA time zone of dates and buckets', parseTimeZone, 'UTC')
    .addOption(
      new Option('--filter <dimension=value>', 'only records with this value; repeat it for more values or dimensions')
        .argParser(parseFilter)
        .default([], 'all'),
    )
    .option(
      '--top <count>',
      'number of groups with the largest totals to list, up to 100; the others are summed (default: 20, with --json all)',
      parseTop,
    )
    .option('--json', 'print JSON, with decimals as strings')
    .action(async (stream: string, flags: UsageFlags) =>
      (await import('./commands/usage.ts')).usageCommand(context, stream, flags),
    );
  addStreamCommands(program, context);
  addRunCommands(program, context);
  addDestinationCommands(program, context);
  addJobCommands(program, context);
  addDeliveryCommands(program, context);
  addBackfillCommands(program, context);
  addCorrectionCommands(program, context);
  addEndpointOptions(program.command('ingest'))
    .description(
      'Send records from a file or standard input: NDJSON or CSV, also compressed with gzip. If you run it again with the same input, no record counts twice',
    )
    .argument('<file>', 'path of the file, or - for standard input')
    .requiredOption('--stream <name>', 'stream of the records')
    .addOption(
      new Option('--kind <kind>', 'whether to add the records, or to replace those with the same record keys')
        .choices(['sum', 'replace'])
        .default('sum'),
    )
    .option(
      '--idempotency-key <key>',
      'key to use instead of one that is derived from the records; from the second part on, the number of the part is appended',
    )
    .addOption(
      new Option(
        '--format <format>',
        'format of the file, unless its first line shows it; postgres is the text format of COPY',
      ).choices(INPUT_FORMATS),
    )
    .addOption(
      new Option(
        '--granularity <granularity>',
        'CSV: granularity of all records (default: that of the column, or of a --date-format without a time)',
      ).choices(['hourly', 'daily', 'monthly']),
    )
    .addOption(
      new Option(
        '--column <name=column>',
        `CSV: column that contains the ${ROLES.join(', the ')} or a dimension, such as element=Customer or region=Region; repeat it for more`,
      )
        .argParser(parseColumn)
        .default({}, 'by their names'),
    )
    .addOption(
      new Option('--ignore <column>', 'CSV: column that is not a dimension; repeat it for more')
        .argParser(appendValue)
        .default([], 'none'),
    )
    .option('--header <columns>', 'CSV: comma-separated columns of a file without a header', parseList)
    .option('--encoding <name>', 'encoding of the file, such as windows-1252 (default: UTF-8 or UTF-16)', parseEncoding)
    .option(
      '--delimiter <character>',
      'CSV: character between cells, or the word tab (default: that of a line sep=, or of the first row)',
      parseDelimiter,
    )
    .option('--decimal-comma', 'CSV: values have a decimal comma, such as 1200,5')
    .option(
      '--date-format <format>',
      'CSV: format of timestamps that are not ISO 8601, such as DD.MM.YYYY HH:mm or M/D/YYYY h:mm A, in UTC',
    )
    .option(
      '--round <decimals>',
      'CSV: maximum number of decimals to keep; longer values are rounded half up',
      parseDecimals,
    )
    .option('--empty-as <value>', 'CSV: dimension value for empty cells, which are otherwise errors')
    .option('--split-values', 'CSV: cells contain several values separated by |, as in exports')
    .option(
      '--dry-run',
      'check the whole input without a server, and print what would be stored: records, buckets, elements and the exact sum',
    )
    .option('--json', 'print one JSON object at the end, with decimals as strings')
    .option(
      '--part <records>',
      'maximum number of records per request; keep it if you run the command again (default: 1000000, for a replace all)',
      parseCount,
    )
    .addOption(
      new Option('--patience <duration>', 'how long to retry while the server is unavailable: 30s, 10m, 2h')
        .argParser(parseDuration)
        .default(parseDuration('10m'), '10m'),
    )
    .action(async (file: string, flags: IngestFlags) =>
      (await import('./commands/ingest.ts')).ingestCommand(context, file, flags),
    );
}
