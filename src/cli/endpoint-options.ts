import { type Command, Option } from 'commander';
import type { EndpointOptions } from './api-endpoint.ts';
import { parseCount } from './option-values.ts';

/** Adds the options of a command that is a client of the API. */
export function addEndpointOptions(command: Command): Command {
  return command
    .option('--url <address>', 'address of the server (default: SLUICE_URL, or this machine with PORT)')
    .option('--key-file <file>', 'file that contains the API key (default: API_KEY, or the key of local mode)');
}

/** Flags of a client that prints text or JSON. */
export interface ClientFlags extends EndpointOptions {
  readonly json?: boolean;
}

/** Adds the options of a client that prints text or JSON. */
export function addClientOptions(command: Command): Command {
  return addEndpointOptions(command).option('--json', 'print JSON');
}

export interface ListFlags extends ClientFlags {
  readonly limit: number;
}

/** Adds the options of a client that prints a list. */
export function addListOptions(command: Command): Command {
  return addLimitOption(addEndpointOptions(command), 50).option('--json', 'print one JSON object per line');
}

export function addLimitOption(command: Command, limit: number): Command {
  return command.addOption(
    new Option('--limit <count>', 'maximum number of lines').argParser(parseCount).default(limit, String(limit)),
  );
}

/** Adds a command that only has subcommands. */
export function addGroup(program: Command, name: string, description: string): Command {
  return program.command(name).description(description).helpCommand(false);
}
