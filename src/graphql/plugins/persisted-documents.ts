import { GraphQLError } from 'graphql';
import { LRUCache } from 'lru-cache';
import { createHash } from 'node:crypto';

export interface PersistedDocumentsOptions {
  /** Documents of the operator, by the ids that clients send. */
  readonly trusted: ReadonlyMap<string, string>;
  /** Whether the server runs no other documents, except those of the console. */
  readonly trustedOnly: boolean;
  /** Whether the console that this server serves sends a document with this text. */
  readonly isOfConsole: (text: string) => boolean;
  /** Memory for documents that clients register by their SHA-256, in bytes. 0 disables registration. */
  readonly keptBytes: number;
}

/** Parameters of a request, not validated. */
export type RequestParams = Readonly<Record<string, unknown>>;

export interface PersistedDocuments {
  /** Returns the parameters with the document that their id names. Throws GraphQLError. */
  readonly resolve: (params: RequestParams) => RequestParams;
  /** Caches the document that resolved parameters registered. Call it when the document is valid and the caller has a key. */
  readonly register: (params: RequestParams) => void;
}

/**
 * Persisted documents: clients send an id instead of the document, as `extensions.persistedQuery.sha256Hash` (Apollo Client,
 * urql) or as `documentId`. Documents of TRUSTED_DOCUMENTS are known from the start. Others are registered by a request that
 * contains document and SHA-256 (automatic persisted queries). All accounts share them: only a client that has a document
 * knows its SHA-256. Limits and validation apply to each request, as for documents that are sent.
 */
export function createPersistedDocuments(options: PersistedDocumentsOptions): PersistedDocuments {
  const { trustedOnly, isOfConsole, keptBytes } = options;
  const cache = keptBytes > 0 ? createTextCache(keptBytes) : null;
  const trusted = new Map(Array.from(options.trusted, ([id, text]) => [withoutPrefix(id), text]));
  const trustedTexts = new Set(trusted.values());
  /** Ids that parameters register their documents under. */
  const registrations = new WeakMap<RequestParams, string>();

  function find(id: string): string {
    const text = cache?.get(id);
    if (text !== undefined) return text;
    throw keptBytes === 0 && trusted.size === 0 ? notSupported() : notFound();
  }

  return {
    resolve: (params) => {
      const id = readId(params);
      const sent = params['query'];
      // A trusted document takes precedence over a document that the client sends with its id.
      const text = (id === null ? undefined : trusted.get(id)) ?? (id !== null && isMissing(sent) ? find(id) : sent);
      if (trustedOnly && typeof text === 'string' && !trustedTexts.has(text) && !isOfConsole(text)) throw notTrusted();
      const resolved = { ...params, query: text };
      if (id !== null && typeof text === 'string' && text === sent && !trusted.has(id)) {
        if (sha256(text) !== id) throw badRequest('The hash is not the SHA-256 of the document in hexadecimal digits.');
        registrations.set(resolved, id);
      }
      return resolved;
    },
    register: (params) => {
      const id = registrations.get(params);
      if (id !== undefined) cache?.set(id, params['query'] as string);
    },
  };
}

/** Memory of a cached document: V8 uses up to 2 bytes for a character, and the entry with its hash about 300. */
const BYTES_PER_CHARACTER = 2;
const BYTES_PER_ENTRY = 300;
/** A document that takes this share of the cache or more is not cached, because it would evict many others. */
const MAX_SHARE_PER_DOCUMENT = 1 / 8;

/** Returns an LRU cache of texts. It ignores a text that would take an eighth of `maxBytes` or more. */
export function createTextCache(maxBytes: number): LRUCache<string, string> {
  return new LRUCache({
    maxSize: maxBytes,
    maxEntrySize: Math.max(1, Math.ceil(maxBytes * MAX_SHARE_PER_DOCUMENT) - 1),
    sizeCalculation: (text) => text.length * BYTES_PER_CHARACTER + BYTES_PER_ENTRY,
  });
}

/** Returns the id in the parameters, or null if there is none. Throws GraphQLError. */
function readId({ documentId, extensions }: RequestParams): string | null {
  const id = documentId ?? readHash(extensions) ?? null;
  if (id === null) return null;
  if (typeof id !== 'string' || id === '') throw badRequest('The document id must be a non-empty string.');
  return withoutPrefix(id);
}

/** Prefix of ids that are hashes, in the GraphQL-over-HTTP specification and in the files of GraphQL Code Generator. */
const HASH_PREFIX = 'sha256:';

const withoutPrefix = (id: string): string => (id.startsWith(HASH_PREFIX) ? id.slice(HASH_PREFIX.length) : id);

function readHash(extensions: unknown): unknown {
  if (typeof extensions !== 'object' || extensions === null || !('persistedQuery' in extensions)) return null;
  const { persistedQuery } = extensions;
  if (persistedQuery == null) return null;
  const { version = 1, sha256Hash } = persistedQuery as RequestParams;
  if (version !== 1 || typeof sha256Hash !== 'string') {
    throw badRequest('extensions.persistedQuery must have version 1 and a sha256Hash.');
  }
  return sha256Hash;
}

/** Over WebSocket a missing document is an empty text. */
const isMissing = (query: unknown): boolean => query == null || query === '';

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

export function badRequest(message: string): GraphQLError {
  return new GraphQLError(message, { extensions: { code: 'BAD_REQUEST', http: { status: 400 } } });
}

// Clients of automatic persisted queries look for these two messages and codes, and then send the document.
const UNCACHED = { spec: true, headers: { 'cache-control': 'private, no-store' } };

function notFound(): GraphQLError {
  return new GraphQLError('PersistedQueryNotFound', {
    extensions: { code: 'PERSISTED_QUERY_NOT_FOUND', http: { status: 404, ...UNCACHED } },
  });
}

function notSupported(): GraphQLError {
  return new GraphQLError('PersistedQueryNotSupported', {
    extensions: { code: 'PERSISTED_QUERY_NOT_SUPPORTED', http: { status: 400, ...UNCACHED } },
  });
}

function notTrusted(): GraphQLError {
  const message =
    'The document is not trusted. This server runs only the documents in TRUSTED_DOCUMENTS and those of its console. Reload the page if it is the console.';
  return new GraphQLError(message, {
    extensions: { code: 'DOCUMENT_NOT_TRUSTED', http: { status: 400, spec: true } },
  });
}
