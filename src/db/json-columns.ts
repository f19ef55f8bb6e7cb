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

/** How the rows of a delivery differ from those of the revision that it supersedes. */
export interface StoredChanges {
  readonly rowsAdded: number;
  readonly rowsRemoved: number;
  readonly rowsChanged: number;
  /** The number of meters that changed, of which `meters` has the first ones. */
  readonly meterCount: number;
  readonly meters: readonly StoredMeterChange[];
}

export interface StoredMeterChange {
  readonly meterApiName: string;
  readonly rowsAdded: number;
  readonly rowsRemoved: number;
  readonly rowsChanged: number;
  /** Decimals in plain notation: the sum of the meter's rows in the window, after rescaling. */
  readonly valueBefore: string;
  readonly valueAfter: string;
  /** valueAfter minus valueBefore. */
  readonly difference: string;
}

/** Why an attempt or a run failed. The message is written for the owner of the job. */
export interface RunFailure {
  readonly code: string;
  readonly message: string;
  readonly retryable: boolean;
  /** Whether the run may have overwritten the manifest of its window, although it has planned no object. */
  readonly mayHaveWritten?: boolean;
}
