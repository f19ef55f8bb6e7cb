// Pure: limits of a document. They are checked before its validation, because clients without a key send documents too.
import {
  type DocumentNode,
  type FieldNode,
  type FragmentDefinitionNode,
  getNamedType,
  getNullableType,
  GraphQLError,
  type GraphQLField,
  type GraphQLNamedType,
  type GraphQLSchema,
  isInterfaceType,
  isIntrospectionType,
  isListType,
  isObjectType,
  Kind,
  SchemaMetaFieldDef,
  type SelectionNode,
  type SelectionSetNode,
  TypeMetaFieldDef,
} from 'graphql';
import { DEFAULT_PAGE } from '../../db/paging.ts';
import { costOf, fixedRowsOf, STATEMENT_COST } from '../schema/field-costs.ts';

export interface DocumentLimits {
  /** Maximum number of tokens. The parser stops at the first one above it. */
  readonly maxTokens: number;
  /** Maximum depth of nested selections. The introspection query of common tools has about 15 levels. */
  readonly maxDepth: number;
  /** Maximum number of fields and fragments, as written. Validation compares the fields of a selection pairwise. */
  readonly maxFields: number;
  /** Maximum number of aliases, as written. Only aliases make a selection return a field more than once. */
  readonly maxAliases: number;
  /** Maximum cost: fields of the largest possible response, plus the costs of src/graphql/schema/field-costs.ts. */
  readonly maxCost: number;
  /** Maximum page size. */
  readonly maxPage: number;
}

const SETTINGS = {
  maxTokens: 'MAX_DOCUMENT_TOKENS',
  maxDepth: 'MAX_DOCUMENT_DEPTH',
  maxFields: 'MAX_DOCUMENT_FIELDS',
  maxAliases: 'MAX_DOCUMENT_ALIASES',
  maxCost: 'MAX_DOCUMENT_COST',
} as const;
type Limit = keyof typeof SETTINGS;

export function documentTooLarge(limits: DocumentLimits, limit: Limit, problem: string, advice: string): GraphQLError {
  return new GraphQLError(`The document ${problem}. ${advice}.`, {
    extensions: {
      code: 'DOCUMENT_TOO_LARGE',
      limit: limits[limit],
      setting: SETTINGS[limit],
      http: { status: 400, spec: true },
    },
  });
}

/** Returns the error of the first limit that the document exceeds, or null if it exceeds none. */
export function findExceededLimit(
  schema: GraphQLSchema,
  document: DocumentNode,
  limits: DocumentLimits,
): GraphQLError | null {
  try {
    const meter = new DocumentMeter(schema, document, limits);
    for (const definition of document.definitions) {
      // Validation reads unused fragments too.
      if (definition.kind === Kind.FRAGMENT_DEFINITION) meter.measureFragment(definition.name.value, 1);
      if (definition.kind === Kind.OPERATION_DEFINITION) {
        meter.measureSelections(definition.selectionSet, schema.getRootType(definition.operation) ?? null, 1);
      }
    }
    return null;
  } catch (error) {
    if (!(error instanceof LimitError)) throw error;
    return documentTooLarge(limits, error.limit, error.message, 'Request less at a time');
  }
}

class LimitError extends Error {
  readonly limit: Limit;

  constructor(limit: Limit, problem: string) {
    super(problem);
    this.limit = limit;
  }
}

interface Size {
  readonly cost: number;
  /** Levels of selections below. */
  readonly depth: number;
}

/** Measures selections. Throws LimitError if a limit is exceeded. */
class DocumentMeter {
  readonly #schema: GraphQLSchema;
  readonly #limits: DocumentLimits;
  readonly #fragments = new Map<string, FragmentDefinitionNode>();
  /** Each fragment is measured once, even if it is spread often. */
  readonly #fragmentSizes = new Map<string, Size>();
  #fields = 0;
  #aliases = 0;

  constructor(schema: GraphQLSchema, document: DocumentNode, limits: DocumentLimits) {
    this.#schema = schema;
    this.#limits = limits;
    for (const definition of document.definitions) {
      if (definition.kind === Kind.FRAGMENT_DEFINITION) this.#fragments.set(definition.name.value, definition);
    }
  }

  measureSelections(set: SelectionSetNode, parent: GraphQLNamedType | null, level: number): Size {
    const { maxCost } = this.#limits;
    let cost = 0;
    let depth = 0;
    for (const selection of set.selections) {
      const size = this.#measureSelection(selection, parent, level);
      cost += size.cost;
      depth = Math.max(depth, size.depth);
    }
    this.#checkDepth(level + depth);
    if (cost > maxCost) {
      throw new LimitError(
        'maxCost',
        `costs more than ${maxCost} by the rows that it can return and the statements for them`,
      );
    }
    return { cost, depth: depth + 1 };
  }

  measureFragment(name: string, level: number): Size {
    const known = this.#fragmentSizes.get(name);
    if (known) return known;
    // Ends the recursion of a fragment that spreads itself, which only validation rejects.
    this.#fragmentSizes.set(name, { cost: 0, depth: 0 });
    const fragment = this.#fragments.get(name);
    if (!fragment) return { cost: 0, depth: 0 };
    const type = this.#schema.getType(fragment.typeCondition.name.value);
    const size = this.measureSelections(fragment.selectionSet, type ?? null, level);
    this.#fragmentSizes.set(name, size);
    return size;
  }

  #checkDepth(level: number): void {
    const { maxDepth } = this.#limits;
    if (level > maxDepth) throw new LimitError('maxDepth', `is nested deeper than ${maxDepth} levels`);
  }

  #measureSelection(selection: SelectionNode, parent: GraphQLNamedType | null, level: number): Size {
    // Before the recursion, so that the depth limit bounds the call stack.
    this.#checkDepth(level);
    this.#count(selection);
    if (selection.kind === Kind.FRAGMENT_SPREAD) return this.measureFragment(selection.name.value, level + 1);
    if (selection.kind === Kind.INLINE_FRAGMENT) {
      const type = selection.typeCondition && this.#schema.getType(selection.typeCondition.name.value);
      return this.measureSelections(selection.selectionSet, type ?? parent, level + 1);
    }
    const definition = this.#findField(selection, parent);
    const rows = definition ? this.#countRows(selection, definition) : 1;
    const own = definition
      ? costOf(definition, rows) + (this.#runsStatement(definition, parent) ? STATEMENT_COST : 0)
      : 0;
    if (!selection.selectionSet) return { cost: own + 1, depth: 0 };
    const type = definition ? getNamedType(definition.type) : null;
    const inside = this.measureSelections(selection.selectionSet, type, level + 1);
    return { cost: own + 1 + rows * inside.cost, depth: inside.depth };
  }

  #count(selection: SelectionNode): void {
    const { maxAliases, maxFields } = this.#limits;
    this.#fields += 1;
    if (this.#fields > maxFields) throw new LimitError('maxFields', `has more than ${maxFields} fields and fragments`);
    if (selection.kind !== Kind.FIELD || !selection.alias) return;
    this.#aliases += 1;
    if (this.#aliases > maxAliases) throw new LimitError('maxAliases', `has more than ${maxAliases} aliases`);
  }

  #findField({ name }: FieldNode, parent: GraphQLNamedType | null): GraphQLField<unknown, unknown> | undefined {
    if (!isObjectType(parent) && !isInterfaceType(parent)) return undefined;
    if (name.value === SchemaMetaFieldDef.name) return SchemaMetaFieldDef;
    if (name.value === TypeMetaFieldDef.name) return TypeMetaFieldDef;
    return parent.getFields()[name.value];
  }

  /** Whether the field runs a statement: every root field does, and every connection for each row that contains it. */
  #runsStatement({ type, name }: GraphQLField<unknown, unknown>, parent: GraphQLNamedType | null): boolean {
    if (getNamedType(type).name.endsWith('Connection')) return true;
    return (
      (parent === this.#schema.getQueryType() || parent === this.#schema.getMutationType()) && !name.startsWith('__')
    );
  }

  /** Returns the maximum number of rows that the field can return. */
  #countRows(field: FieldNode, definition: GraphQLField<unknown, unknown>): number {
    const { type, args, name } = definition;
    const { maxPage } = this.#limits;
    const named = getNamedType(type);
    if (isIntrospectionType(named) && isListType(getNullableType(type))) {
      return name === 'types' ? Object.keys(this.#schema.getTypeMap()).length : INTROSPECTED_ROWS;
    }
    if (!args.some((arg) => SIZES.has(arg.name))) return fixedRowsOf(definition);
    const given = (field.arguments ?? []).filter((argument) => SIZES.has(argument.name.value));
    const sizes = given.map(({ value }) => value).filter(({ kind }) => kind !== Kind.NULL);
    if (sizes.length === 0) return Math.min(DEFAULT_PAGE, maxPage);
    const requested = sizes.map((size) => {
      if (size.kind === Kind.LIST) return size.values.length;
      // The value of a variable is not known yet.
      return size.kind === Kind.INT ? Math.max(Number(size.value), 0) : maxPage;
    });
    return Math.min(Math.max(...requested), maxPage);
  }
}

/** Arguments that set the number of rows. */
const SIZES: ReadonlySet<string> = new Set(['first', 'last', 'ids']);

/** Estimated rows of introspection lists, such as fields and arguments. Most types have at most 3. */
const INTROSPECTED_ROWS = 3;
