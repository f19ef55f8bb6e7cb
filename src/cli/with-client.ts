import { createGraphQLClient, type GraphQLClient } from '../api-client/graphql-client.ts';
import { listenForStopSignals } from '../process/shutdown-signals.ts';
import { type EndpointOptions, withEndpoint } from './api-endpoint.ts';
import type { ClientContext } from './command-context.ts';

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
