import type { Plugin } from 'graphql-yoga';
import type { GraphQLContext } from '../schema/context.ts';
import type { PersistedDocuments, RequestParams } from './persisted-documents.ts';

/** Replaces ids by documents over HTTP, and registers documents over HTTP and WebSocket. */
export function usePersistedDocuments(documents: PersistedDocuments): Plugin<object, GraphQLContext> {
  /** Without a valid key a client cannot evict the documents of others. */
  function register(context: unknown): void {
    const { params, principal } = context as { readonly params?: RequestParams } & GraphQLContext;
    if (params && principal) documents.register(params);
  }

  return {
    onParams: ({ params, request, setParams }) => {
      if (typeof params !== 'object' || params === null || Array.isArray(params)) return;
      // Yoga does not read documentId from the URL.
      const documentId = request.method === 'GET' ? new URL(request.url).searchParams.get('documentId') : null;
      setParams(documents.resolve({ ...(params as RequestParams), ...(documentId !== null && { documentId }) }));
    },
    onExecute: ({ args }) => register(args.contextValue),
    onSubscribe: ({ args }) => register(args.contextValue),
  };
}
