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

type Answer = ReturnType<typeof executeSubscriptionEvent>;

/**
 * Answers the same event to the same question once, however many subscribers of a key have asked it: 2,000 of them cost
 * 2,000 executions a change otherwise, each with its own look-ups. Forgotten with the event itself.
 */
export const shareEvents = (): Plugin<object, GraphQLContext> => {
  const answers = new WeakMap<object, Map<string, Answer>>();
  const documents = new WeakMap<DocumentNode, number>();
  let documentCount = 0;

  /** Says the same where key, document, operation and variables are the same. Documents are the same while they are cached. */
  const questionOf = ({ document, operationName, variableValues, contextValue }: ExecutionArgs): string => {
    let number = documents.get(document);
    if (number === undefined) documents.set(document, (number = documentCount += 1));
    const keyId = (contextValue as GraphQLContext).principal?.key.id;
    return JSON.stringify([number, keyId, operationName, variableValues]);
  };

  const subscribe = async (args: ExecutionArgs): Promise<AsyncIterable<ExecutionResult> | ExecutionResult> => {
    const valid = validateSubscriptionArgs(args);
    if (!('schema' in valid)) return { errors: valid };
    const source = await createSourceEventStream(valid);
    if (!(Symbol.asyncIterator in source)) return source;
    const question = questionOf(args);
    return mapSourceToResponseEvent(valid, source, (event) => {
      const about = event.rootValue as object;
      const known = answers.get(about) ?? new Map<string, Answer>();
      answers.set(about, known);
      const answer = known.get(question) ?? executeSubscriptionEvent(event);
      known.set(question, answer);
      return answer;
    });
  };

  return { onSubscribe: ({ setSubscribeFn }) => setSubscribeFn(subscribe) };
};
