// Written from the sources of @20minutes/s3rver 5.0.0, which has no types: only what s3.ts and
// s3-store.ts use.

declare module '@20minutes/s3rver' {
  import type { RequestListener } from 'node:http';
  import type { ParsedUrlQuery } from 'node:querystring';
  import type FilesystemStore from '@20minutes/s3rver/lib/stores/filesystem.js';

  /** The parts of Koa's context that are read here. */
  export interface S3Context {
    readonly method: string;
    readonly hostname: string;
    readonly path: string;
    readonly state: { vhost?: boolean };
    mountPath?: string;
    readonly query: ParsedUrlQuery;
    get(header: string): string;
  }

  /** A Koa application. */
  export default class S3rver {
    constructor(options: { directory: string; silent: boolean; vhostBuckets: boolean; serviceEndpoint: string });
    store: FilesystemStore;
    context: { store: FilesystemStore };
    logger: { close(): void };
    middleware: ((context: S3Context, next: () => Promise<void>) => Promise<void>)[];
    on(event: 'error', listener: (error: Error & { status?: number }) => void): this;
    callback(): RequestListener;
  }
}

declare module '@20minutes/s3rver/lib/models/account.js' {
  interface Account {
    createKeyPair(accessKeyId: string, secretAccessKey: string): void;
    revokeAccessKey(accessKeyId: string): void;
  }
  const accounts: { DUMMY_ACCOUNT: Account };
  export default accounts;
}

declare module '@20minutes/s3rver/lib/models/error.js' {
  export default class S3Error extends Error {
    constructor(code: string, message: string);
  }
}

declare module '@20minutes/s3rver/lib/models/object.js' {
  import type { Readable } from 'node:stream';

  export type Metadata = Record<string, string | number>;

  export default class S3Object {
    constructor(bucket: string, key: string, content: Readable | null, metadata: Metadata);
    bucket: string;
    key: string;
    content: Readable;
    metadata: Metadata;
  }
}

declare module '@20minutes/s3rver/lib/stores/filesystem.js' {
  import type { Readable } from 'node:stream';
  import type S3Object from '@20minutes/s3rver/lib/models/object.js';
  import type { Metadata } from '@20minutes/s3rver/lib/models/object.js';

  export interface ListOptions {
    delimiter?: string | undefined;
    startAfter?: string | undefined;
    prefix?: string | undefined;
    maxKeys?: number | undefined;
  }

  export interface Listing {
    objects: S3Object[];
    commonPrefixes: string[];
    isTruncated: boolean;
  }

  export default class FilesystemStore {
    constructor(rootDirectory: string);
    rootDirectory: string;
    getBucketPath(bucket: string): string;
    getResourcePath(bucket: string, key: string | undefined, resource: string): string;
    getBucket(bucket: string): Promise<{ name: string } | null>;
    putBucket(bucket: string): Promise<{ name: string } | null>;
    listObjects(bucket: string, options: ListOptions): Promise<Listing>;
    existsObject(bucket: string, key: string): Promise<boolean>;
    getMetadata(bucket: string, key: string): Promise<Metadata>;
    putMetadata(bucket: string, key: string, metadata: Metadata, md5?: string): Promise<void>;
    putContent(path: string, content: Readable): Promise<[size: number, md5: string]>;
    putObject(object: S3Object): Promise<{ size: number; md5: string }>;
  }
}
