import { type Command, Option } from 'commander';
import type { EndpointOptions } from './api-endpoint.ts';
import type { ClientContext } from './command-context.ts';
import type { BackfillFlags, BackfillListFlags, BackfillSpanFlags } from './commands/backfill.ts';
import type { CoverageFlags, DeliveryListFlags } from './commands/delivery.ts';
import type { DestinationTestFlags } from './commands/destination.ts';
import type { WatchFlags } from './commands/export-watch.ts';
import type { IngestFlags } from './commands/ingest.ts';
import type { JobCreateFlags } from './commands/job-create.ts';
import type { UsageFlags } from './commands/usage.ts';
import { addCorrectionCommands } from './correction-commands.ts';
import { addEndpointOptions } from './endpoint-options.ts';
import { ROLES } from './ingest/csv-columns.ts';
import { INPUT_FORMATS } from './ingest/csv-records.ts';
import { createJobOptions } from './job-flags.ts';
import {
  appendValue,
  DELIVERY_STATES,
  parseAgoRange,
  parseCount,
  parseDecimals,
  parseDeliveryStates,
  parseDelimiter,
  parseDuration,
  parseEncoding,
  parseFilter,
  parseList,
  parseColumn,
  parseTimeZone,
} from './option-values.ts';

/** Adds the commands that are clients of the API. */
export function addClientCommands(program: Command, context: ClientContext): void {
  addEndpointOptions(program.command('usage'))
    .description('Show the usage of a stream: total, share, minimum, maximum and a bar chart of each group')
    .argument('<stream>', 'name of the stream')
    .addOption(
      new Option('--by <dimensions>', 'comma-separated: element, and dimensions of the stream')
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
    .option('--to <time>', 'end, exclusive (default: now)')
    .option('--time-zone <zone>', 'IANA time zone of dates and buckets', parseTimeZone, 'UTC')
    .addOption(
      new Option('--filter <dimension=value>', 'only records with this value; repeat it for more values or dimensions')
        .argParser(parseFilter)
        .default([], 'all'),
    )
    .option(
      '--top <count>',
      'number of groups to list; the others are summed (default: 20, with --json all)',
      parseCount,
    )
    .option('--json', 'print JSON, with decimals as strings')
    .action(async (stream: string, flags: UsageFlags) =>
      (await import('./commands/usage.ts')).usageCommand(context, stream, flags),
    );
  const exporting = program.command('export').description('Follow runs of export jobs');
  addEndpointOptions(exporting.command('watch'))
    .description('Follow a run until it ends. The exit code is 0 if it succeeded and 1 if it did not')
    .argument('[run]', 'id of the run')
    .option('--job <name>', 'follow the newest run of this job, instead of an id')
    .option('--next', 'with --job: follow its active run, or else the next one')
    .action(async (run: string | undefined, flags: WatchFlags) =>
      (await import('./commands/export-watch.ts')).watchCommand(context, run, flags),
    );
  addEndpointOptions(program.command('destination').description('Test destinations of exports').command('test'))
    .description(
      'Write one object to a destination as a run would, and print its key, or the error and the bucket policy to attach. The exit code is 0 if it was written and 1 if it was not',
    )
    .argument('[s3Url]', 'bucket, or s3://bucket/path')
    .option('--job <name or id>', 'test the destination of this job, instead of an s3Url')
    .option('--region <region>', 'with s3Url: region of the bucket (default: AWS_REGION of the server)')
    .addOption(
      new Option(
        '--encryption <encryption>',
        'with s3Url: server-side encryption (default: that of the bucket)',
      ).choices(['aes256', 'kms']),
    )
    .option('--kms-key-id <key>', 'with s3Url and kms: key id, key ARN or alias ARN')
    .option('--bucket-owner <account>', 'with s3Url: AWS account that owns the bucket')
    .action(async (s3Url: string | undefined, flags: DestinationTestFlags) =>
      (await import('./commands/destination.ts')).testDestinationCommand(context, s3Url, flags),
    );
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

function addJobCommands(program: Command, context: ClientContext): void {
  const create = program.command('job').description('Manage export jobs').command('create');
  addEndpointOptions(create)
    .description(
      'Create an export job from flags, a file or both; a flag replaces the field of the file. Warnings are written to standard error',
    )
    .option('-f, --file <file>', 'JSON object with the fields of CreateJobInput in GraphQL, or - for standard input')
    .option('--json', 'print the job as JSON, with its warnings');
  for (const option of createJobOptions()) create.addOption(option);
  create.action(async (flags: JobCreateFlags) =>
    (await import('./commands/job-create.ts')).createJobCommand(context, flags),
  );
}

function addDeliveryCommands(program: Command, context: ClientContext): void {
  const delivery = program.command('delivery').description('Show deliveries of export jobs, and deliver windows again');
  addEndpointOptions(delivery.command('list'))
    .description('List deliveries by the end of their windows, newest first')
    .option('--job <name or id>', 'only deliveries of this job')
    .option('--state <states>', `comma-separated: ${DELIVERY_STATES.join(', ')}`, parseDeliveryStates)
    .addOption(
      new Option('--limit <count>', 'maximum number of deliveries to list').argParser(parseCount).default(50, '50'),
    )
    .option('--json', 'print one JSON object per line')
    .action(async (flags: DeliveryListFlags) =>
      (await import('./commands/delivery.ts')).listDeliveriesCommand(context, flags),
    );
  addEndpointOptions(delivery.command('redeliver'))
    .description('Deliver a window again, as the next revision of its delivery')
    .argument('<id>', 'id as shown by `delivery list`')
    .action(async (id: string, flags: EndpointOptions) =>
      (await import('./commands/delivery.ts')).redeliverCommand(context, id, flags),
    );
  addEndpointOptions(delivery.command('coverage'))
    .description('Show which parts of a span the S3 bucket has for the current output of a job')
    .argument('<job>', 'name or id of the job')
    .requiredOption('--from <time>', 'start: 2026-01-25 or 2026-01-25T06:00:00Z')
    .option('--to <time>', 'end, exclusive (default: now)')
    .option('--time-zone <zone>', 'IANA time zone of dates', parseTimeZone, 'UTC')
    .option('--json', 'print JSON')
    .action(async (job: string, flags: CoverageFlags) =>
      (await import('./commands/delivery.ts')).coverageCommand(context, job, flags),
    );
}

function addBackfillCommands(program: Command, context: ClientContext): void {
  const backfill = program.command('backfill').description('Deliver past windows of export jobs');
  const load = () => import('./commands/backfill.ts');
  const watch = 'follow the backfill until it ends or is paused; the exit code is 1 unless it succeeded';
  addSpanOptions(backfill.command('create'))
    .description('Deliver the windows of a job that lie in a span, one after the other')
    .option('--watch', watch)
    .action(async (job: string, flags: BackfillSpanFlags & BackfillFlags) =>
      (await load()).createBackfillCommand(context, job, flags),
    );
  addSpanOptions(backfill.command('preview'))
    .description('Show the windows that a backfill would contain, by state, and estimates of its output')
    .action(async (job: string, flags: BackfillSpanFlags) =>
      (await load()).previewBackfillCommand(context, job, flags),
    );
  addEndpointOptions(backfill.command('list'))
    .description('List the newest 100 backfills')
    .option('--job <name or id>', 'only backfills of this job')
    .option('--json', 'print one JSON object per line')
    .action(async (flags: BackfillListFlags) => (await load()).listBackfillsCommand(context, flags));
  const addIdOptions = (command: Command): Command =>
    addEndpointOptions(command).argument('<id>', 'id as shown by `backfill list`').option('--json', 'print JSON');
  addIdOptions(backfill.command('show'))
    .description('Show a backfill')
    .option('--watch', watch)
    .action(async (id: string, flags: BackfillFlags) => (await load()).showBackfillCommand(context, id, flags));
  const changes = {
    pause: ['pauseBackfill', 'Pause a backfill: a run that has started ends, no other starts'],
    resume: ['resumeBackfill', 'Continue a paused backfill'],
    cancel: ['cancelBackfill', 'Cancel a backfill and its runs'],
    retry: ['retryBackfill', 'Deliver the windows of a backfill that failed again, after all others'],
  } as const;
  for (const [name, [change, description]] of Object.entries(changes)) {
    const command = addIdOptions(backfill.command(name)).description(description);
    if (name === 'resume' || name === 'retry') command.option('--watch', watch);
    command.action(async (id: string, flags: BackfillFlags) =>
      (await load()).changeBackfillCommand(context, change, id, flags),
    );
  }
}

function addSpanOptions(command: Command): Command {
  return addEndpointOptions(command)
    .argument('<job>', 'name or id of the job, which needs a cron')
    .requiredOption('--from <time>', 'start: 2026-01-25 or 2026-01-25T06:00:00Z')
    .requiredOption('--to <time>', 'end, exclusive')
    .option('--time-zone <zone>', 'IANA time zone of dates', parseTimeZone, 'UTC')
    .addOption(
      new Option('--order <order>', 'order of the windows')
        .choices(['oldest-first', 'newest-first'])
        .default('oldest-first'),
    )
    .addOption(
      new Option('--reprocess <windows>', 'windows to deliver: never delivered; also touched, stale or retired; all')
        .choices(['missing', 'stale', 'all'])
        .default('missing'),
    )
    .option('--json', 'print JSON');
}
