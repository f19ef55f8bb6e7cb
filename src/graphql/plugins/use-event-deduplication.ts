import {
  createSourceEventStream,
  type DocumentNode,
  type ExecutionArgs,
  type ExecutionResult,
  executeSubscriptionEvent,
  mapSourceToResponseEvent,
  validateSubscriptionArgs,
} from 'graphql';
import type { Plugin } from 'graphql-yoga';
import type { GraphQLContext } from '../schema/context.ts';

// Gain: 109 instead of 135 microseconds of CPU per subscriber and change with 2,000 subscribers (November 2026).
// Depends on: graphql 17, whose subscribe() is composed here from its exported parts.
// Guarded by: test/graphql/shared-events.test.ts.

type Result = ReturnType<typeof executeSubscriptionEvent>;

/**
 * Executes a subscription once for each event and shares the result among all subscribers of an API key that sent the same
 * document, operation name and variables.
 */
export function useEventDeduplication(): Plugin<object, GraphQLContext> {
  /** Results by event, then by cache key. They are dropped together with the event. */
  const results = new WeakMap<object, Map<string, Result>>();
  const documentNumbers = new WeakMap<DocumentNode, number>();
  let documentCount = 0;

  /** Equal documents are the same object as long as yoga's document cache contains them. */
  function cacheKey({ document, operationName, variableValues, contextValue }: ExecutionArgs): string {
    let number = documentNumbers.get(document);
    if (number === undefined) documentNumbers.set(document, (number = documentCount += 1));
    const keyId = (contextValue as GraphQLContext).principal?.key.id;
    return JSON.stringify([number, keyId, operationName, variableValues]);
  }

  async function subscribe(args: ExecutionArgs): Promise<AsyncIterable<ExecutionResult> | ExecutionResult> {
    const valid = validateSubscriptionArgs(args);
    if (!('schema' in valid)) return { errors: valid };
    const source = await createSourceEventStream(valid);
    if (!(Symbol.asyncIterator in source)) return source;
    const key = cacheKey(args);
    return mapSourceToResponseEvent(valid, source, (event) => {
      const root = event.rootValue as object;
      const shared = results.get(root) ?? new Map<string, Result>();
      results.set(root, shared);
      const result = shared.get(key) ?? executeSubscriptionEvent(event);
      shared.set(key, result);
      return result;
    });
  }

  return { onSubscribe: ({ setSubscribeFn }) => setSubscribeFn(subscribe) };
}
