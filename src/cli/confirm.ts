import { createInterface } from 'node:readline/promises';
import type { ClientContext } from './command-context.ts';
import { CommandError } from './command-error.ts';

/**
 * Asks before something is deleted. Throws CommandError if the answer is not `yes`, or if the command does not run in a
 * terminal.
 * @param consequence sentences that name the object and the effects of its deletion
 */
export async function confirmDeletion(
  { terminal }: ClientContext,
  consequence: string,
  signal: AbortSignal,
): Promise<void> {
  if (!process.stdin.isTTY || !terminal.isInteractive) {
    throw new CommandError(`${consequence} Nothing was deleted. Confirm it with --force.`);
  }
  const reader = createInterface({ input: process.stdin, output: process.stderr });
  // readline takes Ctrl-C from a terminal; without a listener it would only close the question.
  reader.once('SIGINT', () => process.kill(process.pid, 'SIGINT'));
  try {
    const answer = await reader.question(`${consequence} Type yes to delete: `, { signal });
    if (answer.trim() !== 'yes') throw new CommandError('Nothing was deleted.');
  } finally {
    reader.close();
  }
}
