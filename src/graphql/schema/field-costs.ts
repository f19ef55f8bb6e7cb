// Pure: what fields cost beside the one that each field of an answer costs. A field that costs more says so where it is
// defined, in its `extensions`.
import type { GraphQLField } from 'graphql';

/** A statement of the database that reads a page. */
export const STATEMENT_COST = 50;
/** A statement that sums up any number of records. */
const AGGREGATION_COST = 20_000;
/** Reckoning one slot of a cron. */
const SLOT_COST = 10;

/** By the rows that the field is asked for. */
type FieldCost = (rows: number) => number;

const extensionsOf = (cost: FieldCost) => ({ extensions: { cost } });

/** To be spread into a field's options. */
export const ONE_STATEMENT = extensionsOf(() => STATEMENT_COST);
export const AGGREGATION = extensionsOf(() => AGGREGATION_COST);
export const SLOTS = extensionsOf((rows) => rows * SLOT_COST);

export const costOf = ({ extensions }: GraphQLField<unknown, unknown>, rows: number): number => {
  const cost = extensions['cost'] as FieldCost | undefined;
  return cost?.(rows) ?? 0;
};
