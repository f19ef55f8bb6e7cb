/** Ends a command with exit code 1. The message is written for the operator: what is wrong and what to do. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
}
