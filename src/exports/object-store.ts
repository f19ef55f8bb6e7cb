// Pure: what an export asks of the place where its objects go, and how that place fails.

/** One object, whole: written by one call from memory, so that a retry sends the same bytes. */
export interface StoredObject {
  readonly bucket: string;
  /** At most 1,024 bytes of UTF-8; see destination.ts. */
  readonly key: string;
  readonly body: Buffer;
  readonly contentType: string;
  /** 12 digits: the put fails where the bucket is not of this AWS account. Null: whosever it is. */
  readonly bucketOwner: string | null;
  /** SHA-256 of `body`, 64 lower-case hexadecimal digits. */
  readonly sha256Hex: string;
  /** Ends the call at once: the run was cancelled, or its lease is lost. */
  readonly signal: AbortSignal;
}

export interface ObjectStore {
  /**
   * Writes the object, over one that is there already. Ends within the time limit of the store.
   * Errors: ObjectStoreError, nothing else.
   */
  put(object: StoredObject): Promise<void>;
  /** Ends the calls under way and lets go of every connection. May be called twice. */
  close(): void;
}

/**
 * A failed put. The message is written for the owner of the job: it says what to change and holds no secret, no
 * signature and no host. `retryable`: the same put may pass later without anybody changing anything.
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
