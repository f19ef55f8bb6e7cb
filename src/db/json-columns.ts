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

/** Why an attempt or a run failed. The message is written for the owner of the job. */
export interface RunFailure {
  readonly code: string;
  readonly message: string;
  readonly retryable: boolean;
}
