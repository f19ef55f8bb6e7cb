// Pure: how much one document may ask for. Whoever sends it may have no key, so it is weighed before it is validated.
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
import { costOf, STATEMENT_COST } from '../schema/field-costs.ts';

export interface DocumentLimits {
  /** Words, numbers and marks as written. The parser stops at the first that is too many. */
  readonly maxTokens: number;
  /** Selections inside one another; introspection by the usual tools has about 15. */
  readonly maxDepth: number;
  /** Fields and fragments as written. Validation compares those of one place with each other. */
  readonly maxFields: number;
  /** Fields as written under another name: without them each field of a selection is answered once. */
  readonly maxAliases: number;
  /** Fields of the answer, where each list has as many rows as its page may have, and what is done for them. */
  readonly maxCost: number;
  /** Rows of the largest page. */
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

/** The error to answer with, before anything of the document is done. */
export const tooLarge = (limits: DocumentLimits, limit: Limit, problem: string, advice: string): GraphQLError =>
  new GraphQLError(`The document ${problem}. ${advice}.`, {
    extensions: {
      code: 'DOCUMENT_TOO_LARGE',
      limit: limits[limit],
      setting: SETTINGS[limit],
      http: { status: 400, spec: true },
    },
  });

/** Null where the document stays within the limits; else the error to answer with. */
export const weighDocument = (
  schema: GraphQLSchema,
  document: DocumentNode,
  limits: DocumentLimits,
): GraphQLError | null => {
  try {
    const scale = new Scale(schema, document, limits);
    for (const definition of document.definitions) {
      // Fragments that nobody spreads are written down all the same, and validated.
      if (definition.kind === Kind.FRAGMENT_DEFINITION) scale.fragment(definition.name.value, 1);
      if (definition.kind === Kind.OPERATION_DEFINITION) {
        scale.selections(definition.selectionSet, schema.getRootType(definition.operation) ?? null, 1);
      }
    }
    return null;
  } catch (error) {
    if (!(error instanceof TooMuch)) throw error;
    return tooLarge(limits, error.limit, error.message, 'Request less at a time');
  }
};

class TooMuch extends Error {
  readonly limit: Limit;

  constructor(limit: Limit, problem: string) {
    super(problem);
    this.limit = limit;
  }
}

interface Weight {
  readonly cost: number;
  /** Levels below. */
  readonly depth: number;
}

class Scale {
  readonly #schema: GraphQLSchema;
  readonly #limits: DocumentLimits;
  readonly #fragments = new Map<string, FragmentDefinitionNode>();
  /** Each fragment is weighed once, however often it is spread. */
  readonly #weights = new Map<string, Weight>();
  #fields = 0;
  #aliases = 0;

  constructor(schema: GraphQLSchema, document: DocumentNode, limits: DocumentLimits) {
    this.#schema = schema;
    this.#limits = limits;
    for (const definition of document.definitions) {
      if (definition.kind === Kind.FRAGMENT_DEFINITION) this.#fragments.set(definition.name.value, definition);
    }
  }

  selections(set: SelectionSetNode, parent: GraphQLNamedType | null, level: number): Weight {
    const { maxCost } = this.#limits;
    let cost = 0;
    let depth = 0;
    for (const selection of set.selections) {
      const weight = this.#selection(selection, parent, level);
      cost += weight.cost;
      depth = Math.max(depth, weight.depth);
    }
    this.#checkDepth(level + depth);
    if (cost > maxCost) {
      throw new TooMuch(
        'maxCost',
        `costs more than ${maxCost} by the rows that it can return and the statements for them`,
      );
    }
    return { cost, depth: depth + 1 };
  }

  fragment(name: string, level: number): Weight {
    const known = this.#weights.get(name);
    if (known) return known;
    // Stands while it is being weighed: one that spreads itself is refused by validation, and must not go on for ever here.
    this.#weights.set(name, { cost: 0, depth: 0 });
    const fragment = this.#fragments.get(name);
    const type = fragment && this.#schema.getType(fragment.typeCondition.name.value);
    const weight = fragment ? this.selections(fragment.selectionSet, type ?? null, level) : { cost: 0, depth: 0 };
    this.#weights.set(name, weight);
    return weight;
  }

  #checkDepth(level: number): void {
    const { maxDepth } = this.#limits;
    if (level > maxDepth) throw new TooMuch('maxDepth', `is nested deeper than ${maxDepth} levels`);
  }

  #selection(selection: SelectionNode, parent: GraphQLNamedType | null, level: number): Weight {
    // Before anything inside is looked at, so that no document is too deep to be weighed.
    this.#checkDepth(level);
    this.#count(selection);
    if (selection.kind === Kind.FRAGMENT_SPREAD) return this.fragment(selection.name.value, level + 1);
    if (selection.kind === Kind.INLINE_FRAGMENT) {
      const type = selection.typeCondition && this.#schema.getType(selection.typeCondition.name.value);
      return this.selections(selection.selectionSet, type ?? parent, level + 1);
    }
    const definition = this.#definitionOf(selection, parent);
    const rows = definition ? this.#rowsOf(selection, definition) : 1;
    const own = definition
      ? costOf(definition, rows) + (this.#asksDatabase(definition, parent) ? STATEMENT_COST : 0)
      : 0;
    if (!selection.selectionSet) return { cost: own + 1, depth: 0 };
    const type = definition ? getNamedType(definition.type) : null;
    const inside = this.selections(selection.selectionSet, type, level + 1);
    return { cost: own + 1 + rows * inside.cost, depth: inside.depth };
  }

  #count(selection: SelectionNode): void {
    const { maxAliases, maxFields } = this.#limits;
    this.#fields += 1;
    if (this.#fields > maxFields) throw new TooMuch('maxFields', `has more than ${maxFields} fields and fragments`);
    if (selection.kind !== Kind.FIELD || !selection.alias) return;
    this.#aliases += 1;
    if (this.#aliases > maxAliases) throw new TooMuch('maxAliases', `has more than ${maxAliases} aliases`);
  }

  #definitionOf({ name }: FieldNode, parent: GraphQLNamedType | null): GraphQLField<unknown, unknown> | undefined {
    if (!isObjectType(parent) && !isInterfaceType(parent)) return undefined;
    if (name.value === SchemaMetaFieldDef.name) return SchemaMetaFieldDef;
    if (name.value === TypeMetaFieldDef.name) return TypeMetaFieldDef;
    return parent.getFields()[name.value];
  }

  /** Every connection is a statement of its own, for each row that it stands below; and so is every field of the root. */
  #asksDatabase({ type, name }: GraphQLField<unknown, unknown>, parent: GraphQLNamedType | null): boolean {
    if (getNamedType(type).name.endsWith('Connection')) return true;
    return (
      (parent === this.#schema.getQueryType() || parent === this.#schema.getMutationType()) && !name.startsWith('__')
    );
  }

  /** How many rows a field may answer with. */
  #rowsOf(field: FieldNode, { type, args, name }: GraphQLField<unknown, unknown>): number {
    const { maxPage } = this.#limits;
    const named = getNamedType(type);
    if (isIntrospectionType(named) && isListType(getNullableType(type))) {
      return name === 'types' ? Object.keys(this.#schema.getTypeMap()).length : INTROSPECTED_ROWS;
    }
    if (!args.some((arg) => SIZES.has(arg.name))) return 1;
    const given = (field.arguments ?? []).filter((argument) => SIZES.has(argument.name.value));
    const sizes = given.map(({ value }) => value).filter(({ kind }) => kind !== Kind.NULL);
    if (sizes.length === 0) return Math.min(DEFAULT_PAGE, maxPage);
    const asked = sizes.map((size) => {
      if (size.kind === Kind.LIST) return size.values.length;
      // Of a variable only the most that it may be is known here.
      return size.kind === Kind.INT ? Math.max(Number(size.value), 0) : maxPage;
    });
    return Math.min(Math.max(...asked), maxPage);
  }
}

/** The arguments that tell how many rows are asked for. */
const SIZES: ReadonlySet<string> = new Set(['first', 'last', 'ids']);

/** Of fields, arguments and so on of a type: more have fewer than have more. */
const INTROSPECTED_ROWS = 3;
