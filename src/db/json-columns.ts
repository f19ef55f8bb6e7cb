// Pure: the types of jsonb columns.

/**
 * The types of columns whose value belongs to a higher layer. That layer declares the type by module augmentation, so that `db`
 * does not import it.
 */
export interface JsonColumns {}

export interface DimensionValues {
  readonly dimension: string;
  readonly values: readonly string[];
}

export interface Rescale {
  readonly function: 'MULTIPLY';
  /** A decimal in plain notation. */
  readonly coefficient: string;
}

/** The scope of a replace, as the operation stores it. */
export interface StoredScope {
  /** RFC 3339 in UTC, inclusive. */
  readonly from: string;
  /** RFC 3339 in UTC, exclusive. */
  readonly to: string;
  readonly filter: readonly DimensionValues[] | null;
  readonly elementName: string | null;
}

/** Why an attempt or a run failed. The message is written for the owner of the job. */
export interface RunFailure {
  readonly code: string;
  readonly message: string;
  readonly retryable: boolean;
}
