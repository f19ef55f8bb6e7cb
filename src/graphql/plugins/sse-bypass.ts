import type { ExecutionResult, GraphQLError } from 'graphql';
import type { Plugin } from 'graphql-yoga';

export interface EventStreams {
  readonly plugin: Plugin;
  /** The results of the subscription that this answers, where it answers one. */
  readonly resultsOf: (answer: Response) => AsyncIterable<ExecutionResult> | undefined;
  /** A result as an event, as yoga writes it; the same result is written once for all who get it. */
  readonly textOf: (result: ExecutionResult) => string;
}

/**
 * Takes the results of subscriptions past yoga's own stream: two chunks an event through three streams for each subscriber
 * cost more than all the rest of it.
 */
export const createEventStreams = (): EventStreams => {
  const results = new WeakMap<Response, AsyncIterable<ExecutionResult>>();
  const texts = new WeakMap<ExecutionResult, string>();
  return {
    plugin: {
      onResultProcess: (asked) => {
        const { result } = asked;
        // Without a processor the client takes no event streams.
        if (!asked.resultProcessor || !(Symbol.asyncIterator in result)) return;
        asked.setResultProcessor((_, { Response }) => {
          const answer = new Response(null, {
            headers: { 'content-type': 'text/event-stream' },
          });
          results.set(answer, result as AsyncIterable<ExecutionResult>);
          return answer;
        }, 'text/event-stream');
      },
    },
    resultsOf: (answer) => results.get(answer),
    textOf: (result) => {
      let text = texts.get(result);
      if (text === undefined) {
        const { errors, ...others } = result;
        const json = JSON.stringify(errors ? { ...others, errors: errors.map(withoutInternals) } : result);
        texts.set(result, (text = `event: next\ndata: ${json}\n\n`));
      }
      return text;
    },
  };
};

/** What yoga keeps to itself in the extensions of an error. */
const INTERNAL: readonly string[] = ['http', 'unexpected'];

const withoutInternals = (error: GraphQLError): object => {
  const { extensions = {}, ...told } = error.toJSON();
  const shown = Object.entries(extensions).filter(([name]) => !INTERNAL.includes(name));
  return shown.length > 0 ? { ...told, extensions: Object.fromEntries(shown) } : told;
};
