import { GraphQLError } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { GraphQLContext } from '../schema/context.ts';

/** Memory of a cached document: V8 uses up to 2 bytes for a character, and the entry with its hash about 300. */
const BYTES_PER_CHARACTER = 2;
const BYTES_PER_ENTRY = 300;
/** Of the whole cache, so that one long document does not evict all others. */
const MAX_SHARE_PER_DOCUMENT = 1 / 8;

export interface PersistedDocumentsOptions {
  /** The operator's own, by the ids that clients send. */
  readonly trusted: ReadonlyMap<string, string>;
  /** True: no others are run. */
  readonly trustedOnly: boolean;
  /** Bytes of documents that clients may leave here by their SHA-256; 0 for none. */
  readonly keptBytes: number;
}

/** A request as it came, of which nothing was checked yet. */
type Params = Readonly<Record<string, unknown>>;

export interface PersistedDocuments {
  readonly plugin: Plugin<object, GraphQLContext>;
  /** The request with its document, where an id stood for it. Throws GraphQLError. */
  readonly withDocument: (params: Params) => Params;
}

/**
 * Documents that clients name by an id in the place of sending them: `extensions.persistedQuery.sha256Hash` as Apollo's and
 * urql's clients do, or `documentId`. Those of TRUSTED_DOCUMENTS are known from the start. Others become known when a request
 * brings document and SHA-256 together (automatic persisted queries): all accounts share them, since only who has a document
 * knows its SHA-256. They are weighed and validated each time, like those that are sent.
 */
export const createPersistedDocuments = ({
  trusted: given,
  trustedOnly,
  keptBytes,
}: PersistedDocumentsOptions): PersistedDocuments => {
  const kept = keptBytes > 0 ? createTextCache(keptBytes) : null;
  const trusted = new Map(Array.from(given, ([id, text]) => [plainId(id), text]));
  const trustedTexts = new Set(trusted.values());
  /** Requests that brought a document to be kept, with its id. */
  const brought = new WeakMap<object, string>();

  const found = (id: string): string => {
    const text = kept?.get(id);
    if (text !== undefined) return text;
    throw keptBytes === 0 && trusted.size === 0 ? notSupported() : notFound();
  };

  const withDocument = (params: Params): Params => {
    const id = idOf(params);
    const sent = params['query'];
    // The operator's word counts, also where a client sends its own spelling of the document with it.
    const text = (id === null ? undefined : trusted.get(id)) ?? (id !== null && isAbsent(sent) ? found(id) : sent);
    if (trustedOnly && typeof text === 'string' && !trustedTexts.has(text)) throw notTrusted();
    const asked = { ...params, query: text };
    if (id !== null && typeof text === 'string' && text === sent && !trusted.has(id)) {
      if (sha256(text) !== id) throw badRequest('The hash is not the SHA-256 of the document in hexadecimal digits.');
      brought.set(asked, id);
    }
    return asked;
  };

  /** Only of who has a key, and once it is valid: nobody else puts documents of others out. */
  const keep = (context: unknown): void => {
    const { params, principal } = context as { readonly params?: Params } & GraphQLContext;
    const id = params && brought.get(params);
    if (id !== undefined && principal) kept?.set(id, params?.['query'] as string);
  };

  return {
    withDocument,
    plugin: {
      onParams: ({ params, request, setParams }) => {
        if (typeof params !== 'object' || params === null || Array.isArray(params)) return;
        // Yoga reads no such parameter from an address.
        const documentId = request.method === 'GET' ? new URL(request.url).searchParams.get('documentId') : null;
        setParams(withDocument({ ...(params as Params), ...(documentId !== null && { documentId }) }));
      },
      onExecute: ({ args }) => keep(args.contextValue),
      onSubscribe: ({ args }) => keep(args.contextValue),
    },
  };
};

/** Returns an LRU cache of texts. It ignores a text that would take an eighth of `maxBytes` or more. */
export function createTextCache(maxBytes: number): LRUCache<string, string> {
  return new LRUCache({
    maxSize: maxBytes,
    maxEntrySize: Math.max(1, Math.ceil(maxBytes * MAX_SHARE_PER_DOCUMENT) - 1),
    sizeCalculation: (text) => text.length * BYTES_PER_CHARACTER + BYTES_PER_ENTRY,
  });
}

/** Null where the request names no document by an id. Throws GraphQLError. */
const idOf = ({ documentId, extensions }: Params): string | null => {
  const given = documentId ?? hashOf(extensions) ?? null;
  if (given === null) return null;
  if (typeof given !== 'string' || given === '') throw badRequest('The document id must be a non-empty string.');
  return plainId(given);
};

/** How the GraphQL-over-HTTP specification writes ids that are hashes, and Code Generator those in its files. */
const HASH_PREFIX = 'sha256:';
const plainId = (id: string): string => (id.startsWith(HASH_PREFIX) ? id.slice(HASH_PREFIX.length) : id);

const hashOf = (extensions: unknown): unknown => {
  if (typeof extensions !== 'object' || extensions === null || !('persistedQuery' in extensions)) return null;
  const { persistedQuery } = extensions;
  if (persistedQuery == null) return null;
  const { version = 1, sha256Hash } = persistedQuery as Params;
  if (version !== 1 || typeof sha256Hash !== 'string') {
    throw badRequest('extensions.persistedQuery must have version 1 and a sha256Hash.');
  }
  return sha256Hash;
};

/** Over WebSocket the document is an empty text where there is none. */
const isAbsent = (sent: unknown): boolean => sent == null || sent === '';

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

const badRequest = (message: string): GraphQLError =>
  new GraphQLError(message, { extensions: { code: 'BAD_REQUEST', http: { status: 400 } } });

// The messages and codes of these two are what clients look for: they then send the document, once or from then on.
const notFound = (): GraphQLError =>
  new GraphQLError('PersistedQueryNotFound', {
    extensions: {
      code: 'PERSISTED_QUERY_NOT_FOUND',
      http: { status: 404, spec: true, headers: { 'cache-control': 'private, no-store' } },
    },
  });

const notSupported = (): GraphQLError =>
  new GraphQLError('PersistedQueryNotSupported', {
    extensions: {
      code: 'PERSISTED_QUERY_NOT_SUPPORTED',
      http: { status: 400, spec: true, headers: { 'cache-control': 'private, no-store' } },
    },
  });

const notTrusted = (): GraphQLError =>
  new GraphQLError('The document is not trusted. This server runs only the documents in TRUSTED_DOCUMENTS.', {
    extensions: { code: 'DOCUMENT_NOT_TRUSTED', http: { status: 400, spec: true } },
  });
