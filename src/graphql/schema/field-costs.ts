// Pure: costs of fields for MAX_DOCUMENT_COST. Each field of a response costs 1; a field that costs more declares it in its
// `extensions`.
import type { GraphQLField } from 'graphql';

/** A statement that reads a page. */
export const STATEMENT_COST = 50;
/** A statement that aggregates any number of records, or the computation of any number of windows. */
const AGGREGATION_COST = 20_000;
/** The computation of one slot of a cron schedule. */
const SLOT_COST = 10;

/** Computes the cost from the number of rows that the query requests. */
type FieldCost = (rows: number) => number;

const defineCost = (cost: FieldCost) => ({ extensions: { cost } });

/** Options of a field with this cost. */
export const ONE_STATEMENT = defineCost(() => STATEMENT_COST);
export const AGGREGATION = defineCost(() => AGGREGATION_COST);
export const SLOTS = defineCost((rows) => rows * SLOT_COST);

/** Options of a list without a page size: what is selected below it is counted for this number of rows. */
export function listOf(rows: number) {
  return { extensions: { rows } };
}

/** Returns the maximum number of rows of a field without a page size. */
export function fixedRowsOf({ extensions }: GraphQLField<unknown, unknown>): number {
  return (extensions['rows'] as number | undefined) ?? 1;
}

export function costOf({ extensions }: GraphQLField<unknown, unknown>, rows: number): number {
  const cost = extensions['cost'] as FieldCost | undefined;
  return cost?.(rows) ?? 0;
}
