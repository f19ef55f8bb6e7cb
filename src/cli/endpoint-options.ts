import type { Command } from 'commander';

/** Adds the options of a command that is a client of the API. */
export function addEndpointOptions(command: Command): Command {
  return command
    .option('--url <address>', 'address of the server (default: SLUICE_URL, or this machine with PORT)')
    .option('--key-file <file>', 'file that contains the API key (default: API_KEY, or the key of local mode)');
}
