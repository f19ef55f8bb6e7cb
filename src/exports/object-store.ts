// Pure: the interface of the object store that exports write to, and its error.

export type Encryption = 'AES256' | 'KMS';

/** The S3 bucket of a job, and how objects are written to it. */
export interface StoreDestination {
  readonly bucket: string;
  /** AWS account of 12 digits: the put fails if the bucket does not belong to it. Null if any owner is accepted. */
  readonly bucketOwner: string | null;
  /** Defaults to the region of the server (AWS_REGION). */
  readonly region?: string | null;
  /** Server-side encryption that the store is asked for. Defaults to the default encryption of the bucket. */
  readonly encryption?: Encryption | null;
  /** Only with the encryption KMS. Defaults to the key that AWS manages. */
  readonly kmsKeyId?: string | null;
}

/** One complete object, written from memory by one call, so that a retry sends the same bytes. */
export interface StoredObject extends StoreDestination {
  /** Maximum 1,024 bytes of UTF-8 (destination.ts). */
  readonly key: string;
  readonly body: Buffer;
  readonly contentType: string;
  /** SHA-256 of `body`, 64 lower-case hexadecimal digits. */
  readonly sha256Hex: string;
  /** Aborts the call immediately: the run was canceled, or its lease was lost. */
  readonly signal: AbortSignal;
}

export interface ObjectStore {
  /** Writes the object, or overwrites it. Settles within the time limit of the store. Throws ObjectStoreError and nothing else. */
  put(object: StoredObject): Promise<void>;
  /** Aborts active calls and closes all connections. May be called twice. */
  close(): void;
}

/**
 * A failed put. The message is for the owner of the job: it says what to change and contains no secret, signature or host.
 * `retryable`: the same put can succeed later without a change.
 */
export class ObjectStoreError extends Error {
  readonly code: string;
  readonly retryable: boolean;

  constructor(code: string, message: string, retryable: boolean, options?: ErrorOptions) {
    super(message, options);
    this.name = 'ObjectStoreError';
    this.code = code;
    this.retryable = retryable;
  }
}
