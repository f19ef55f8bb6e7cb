import { formatDocument, stringifyDocument, type TypedDocumentNode } from 'urql';

/** Returns the text of a document as the console sends it: the cache of urql adds `__typename` to queries and mutations. */
export function textOf(document: TypedDocumentNode): string {
  const isSubscription = document.definitions.some((part) => 'operation' in part && part.operation === 'subscription');
  return stringifyDocument(isSubscription ? document : formatDocument(document));
}
