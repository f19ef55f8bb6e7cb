import type { Command } from 'commander';
import type { ClientContext } from './command-context.ts';
import type { CoverageFlags, DeliveryListFlags } from './commands/delivery.ts';
import { addClientOptions, addGroup, addListOptions, type ClientFlags } from './endpoint-options.ts';
import { DELIVERY_STATES, parseStatuses, parseTimeZone } from './option-values.ts';

/** Adds the commands of deliveries. */
export function addDeliveryCommands(program: Command, context: ClientContext): void {
  const delivery = addGroup(program, 'delivery', 'Show deliveries of export jobs, and deliver windows again');
  const load = () => import('./commands/delivery.ts');
  addListOptions(delivery.command('list'))
    .description('List deliveries by the end of their windows, newest first')
    .option('--job <name or id>', 'only deliveries of this job')
    .option('--state <states>', `comma-separated: ${DELIVERY_STATES.join(', ')}`, parseStatuses(DELIVERY_STATES))
    .action(async (flags: DeliveryListFlags) => (await load()).listDeliveriesCommand(context, flags));
  addClientOptions(delivery.command('redeliver'))
    .description('Deliver a window again, as the next revision of its delivery')
    .argument('<id>', 'id as shown by `delivery list`')
    .action(async (id: string, flags: ClientFlags) => (await load()).redeliverCommand(context, id, flags));
  addClientOptions(delivery.command('coverage'))
    .description('Show which parts of a span the S3 bucket has for the current output of a job')
    .argument('<job>', 'name or id of the job')
    .requiredOption('--from <time>', 'start: 2026-01-25 or 2026-01-25T06:00:00Z')
    .option('--to <time>', 'end, exclusive (default: now)')
    .option('--time-zone <zone>', 'IANA time zone of dates', parseTimeZone, 'UTC')
    .action(async (job: string, flags: CoverageFlags) => (await load()).coverageCommand(context, job, flags));
}
