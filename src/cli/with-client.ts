import { createGraphQLClient, type GraphQLClient } from '../api-client/graphql-client.ts';
import { listenForStopSignals } from '../process/shutdown-signals.ts';
import { replaceControlCharacters } from '../terminal/terminal.ts';
import { type EndpointOptions, withEndpoint } from './api-endpoint.ts';
import type { ClientContext } from './command-context.ts';
import { CommandError } from './command-error.ts';

/** Runs `work` with a client whose requests end at Ctrl-C and other signals, which also abort `signal`. */
export async function withClient(
  context: ClientContext,
  flags: EndpointOptions,
  work: (client: GraphQLClient, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  await withEndpoint(flags, context.env, async (endpoint) => {
    const { signal } = listenForStopSignals();
    try {
      await work(createGraphQLClient({ ...endpoint, signal }), signal);
    } catch (error) {
      if (!signal.aborted) throw error;
      context.onInterrupted();
    }
  });
}

/** The message of a result that is an error. */
export interface Refusal {
  readonly message: string;
  readonly issues?: readonly { readonly message: string }[];
}

/** Returns the result of an operation. Throws CommandError with its issues, or its message, if it is an error. */
export function requireResult<Result extends object>(result: Result | Refusal): Exclude<Result, Refusal> {
  if ('message' in result) {
    const { message, issues = [] } = result;
    const messages = issues.length > 0 ? issues.map((issue) => issue.message) : [message];
    throw new CommandError(messages.map(replaceControlCharacters).join('\n'));
  }
  return result as Exclude<Result, Refusal>;
}
