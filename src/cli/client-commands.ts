import { type Command, InvalidArgumentError, Option } from 'commander';
import { isTimeZone } from '../lib/zoned-time.ts';
import type { ClientContext } from './command.ts';
import type { UsageFlags } from './usage.ts';
import type { WatchFlags } from './watch.ts';
import { readRange } from './usage-window.ts';

/** The commands that speak to a server through its API, with a key, as any other client does. */
export const addClientCommands = (program: Command, context: ClientContext): void => {
  withServer(program.command('usage'))
    .description('Draw the usage of a stream: a line with total, share, least, most and bars for each group')
    .argument('<stream>')
    .option('--by <dimensions>', 'element and dimensions of the stream, with commas between them', readNames, [
      'element',
    ])
    .addOption(new Option('--bucket <bucket>', 'what a bar stands for').choices(BUCKETS).default('day'))
    .option('--range <range>', 'how far back: ago(30d), or 30d for short; with d, h or m (default: 30d)', readAgo)
    .option('--from <moment>', 'in place of a range: 2026-01-25, or 2026-01-25T06:00:00Z')
    .option('--to <moment>', 'where it ends, not included (default: now)')
    .option('--time-zone <zone>', 'of dates and buckets', readTimeZone, 'UTC')
    .option('--filter <dimension=value>', 'only this; again for more values or dimensions', readFilter, [])
    .option('--top <count>', 'how many groups have a line of their own', readCount)
    .option('--json', 'for programs; decimals are strings', false)
    .action(async (stream: string, flags: UsageFlags) =>
      (await import('./usage.ts')).usageCommand(context, stream, flags),
    );
  const exporting = program.command('export').description('Runs of export jobs');
  withServer(exporting.command('watch'))
    .description('Follow a run to its end; ends with 0 where it succeeds, else with 1')
    .argument('[run]', 'its id, as the API shows it')
    .option('--job <name>', 'in place of an id: the newest run of this job')
    .option('--next', 'with --job: the run that is under way, or the next that begins', false)
    .action(async (run: string | undefined, flags: WatchFlags) =>
      (await import('./watch.ts')).watchCommand(context, run, flags),
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
  if (!isTimeZone(text)) throw new InvalidArgumentError('It is an IANA name such as Europe/Berlin, or UTC.');
  return text;
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

const readCount = (text: string): number => {
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new InvalidArgumentError('It is a number from 1.');
  return Number(text);
};
