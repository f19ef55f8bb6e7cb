/** Ends a command with exit code 1. The message is written for the operator: what is wrong and what to do. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
}

/**
 * Ends a command with exit code 2: its options and arguments are not valid, regardless of the content of files. Thrown before the
 * command sends a request or connects to a database.
 */
export class UsageError extends CommandError {}

/**
 * Returns the error about a value that neither the options nor the file of --file contain. With a file it is one of its content.
 * @param text content of the file; null without a file
 */
export function missingValue(message: string, text: string | null): CommandError {
  return text === null ? new UsageError(message) : new CommandError(message);
}
