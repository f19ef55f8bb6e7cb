// Pure: lists of records in variables that need no coercion, since they have exactly the shape that it would give them. The
// general coercion looks at each of 5,000 records three times, half of what such a request costs.
import { Kind, type OperationDefinitionNode } from 'graphql';
import { DoubleValue, type FilterEntry, type Granularity, type RecordInput } from '../../streams/pipeline/inputs.ts';

/** Variables without their plain lists of records, and the lists by the variable that they belong to. */
export interface PartedVariables {
  readonly rest: Readonly<Record<string, unknown>>;
  readonly records: ReadonlyMap<string, readonly RecordInput[]>;
}

const INPUT_TYPE = 'AllocationInput';

/** Takes the records out of all variables of the type AllocationInput; null where none has a plain list of them. */
export const partVariables = (
  operation: OperationDefinitionNode,
  variables: Readonly<Record<string, unknown>>,
): PartedVariables | null => {
  const records = new Map<string, readonly RecordInput[]>();
  const rest: Record<string, unknown> = { ...variables };
  for (const { variable, type } of operation.variableDefinitions ?? []) {
    const named = type.kind === Kind.NON_NULL_TYPE ? type.type : type;
    const name = variable.name.value;
    if (named.kind !== Kind.NAMED_TYPE || named.name.value !== INPUT_TYPE || !Object.hasOwn(variables, name)) continue;
    const input = variables[name];
    if (!isObject(input)) continue;
    const list = plainRecords(input['records']);
    if (!list) continue;
    records.set(name, list);
    rest[name] = { ...input, records: [] };
  }
  return records.size > 0 ? { rest, records } : null;
};

/** As the coercion to [AllocationRecordInput!] would have them; null where it has something to say, or to change. */
export const plainRecords = (list: unknown): RecordInput[] | null => {
  if (!Array.isArray(list)) return null;
  const records: RecordInput[] = [];
  for (const one of list as unknown[]) {
    const record = plainRecord(one);
    if (!record) return null;
    records.push(record);
  }
  return records;
};

const plainRecord = (record: unknown): RecordInput | null => {
  if (!isObject(record)) return null;
  for (const name in record) {
    if (
      name !== 'timestamp' &&
      name !== 'granularity' &&
      name !== 'filter' &&
      name !== 'elementName' &&
      name !== 'value'
    )
      return null;
  }
  const { timestamp, granularity, filter = [], elementName, value } = record;
  if (typeof timestamp !== 'string' || typeof elementName !== 'string') return null;
  if (typeof value !== 'string' && typeof value !== 'number') return null;
  if (!isGranularity(granularity) || !isPlainFilter(filter)) return null;
  return {
    timestamp,
    granularity,
    filter,
    elementName,
    value: typeof value === 'number' ? new DoubleValue(value) : value,
  };
};

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const isGranularity = (value: unknown): value is Granularity =>
  value === 'HOURLY' || value === 'DAILY' || value === 'MONTHLY';

const isPlainFilter = (filter: unknown): filter is FilterEntry[] => {
  if (!Array.isArray(filter)) return false;
  for (const entry of filter as unknown[]) {
    if (!isObject(entry)) return false;
    for (const name in entry) if (name !== 'dimension' && name !== 'values') return false;
    const { dimension, values } = entry;
    if (typeof dimension !== 'string' || !Array.isArray(values)) return false;
    for (const value of values as unknown[]) if (typeof value !== 'string') return false;
  }
  return true;
};
