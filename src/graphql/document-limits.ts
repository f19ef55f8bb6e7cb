// Pure: how much one document may ask for. Whoever sends it may have no key, so it is weighed before it is validated.
import {
  type DocumentNode,
  type FieldNode,
  type FragmentDefinitionNode,
  getNamedType,
  GraphQLError,
  type GraphQLNamedType,
  type GraphQLSchema,
  isInterfaceType,
  isObjectType,
  Kind,
  type SelectionNode,
  type SelectionSetNode,
} from 'graphql';
import { DEFAULT_PAGE, MAX_PAGE } from '../db/paging.ts';

export interface DocumentLimits {
  /** Fields as written. Each field of the root may be a query of the database. */
  readonly maxFields: number;
  /** Selections inside one another; introspection by the usual tools has about 15. */
  readonly maxDepth: number;
  /** Fields of the answer, where each list has as many rows as its page may have. */
  readonly maxAnswer: number;
}

const DOCUMENT_LIMITS: DocumentLimits = { maxFields: 2000, maxDepth: 30, maxAnswer: 250_000 };

/** Null where the document stays within the limits; else the error to answer with. */
export const weighDocument = (
  schema: GraphQLSchema,
  document: DocumentNode,
  limits: DocumentLimits = DOCUMENT_LIMITS,
): GraphQLError | null => {
  try {
    const scale = new Scale(schema, document, limits);
    for (const definition of document.definitions) {
      // Fragments that nobody spreads are written down all the same, and validated.
      if (definition.kind === Kind.FRAGMENT_DEFINITION) scale.fragment(definition.name.value);
      if (definition.kind === Kind.OPERATION_DEFINITION) {
        scale.selections(definition.selectionSet, schema.getRootType(definition.operation) ?? null, 1);
      }
    }
    return null;
  } catch (error) {
    if (!(error instanceof TooMuch)) throw error;
    return new GraphQLError(`The document ${error.message}: ask for less at a time.`, {
      extensions: { code: 'DOCUMENT_TOO_LARGE', http: { status: 400, spec: true } },
    });
  }
};

class TooMuch extends Error {}

interface Weight {
  /** Fields of the answer. */
  readonly answer: number;
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

  constructor(schema: GraphQLSchema, document: DocumentNode, limits: DocumentLimits) {
    this.#schema = schema;
    this.#limits = limits;
    for (const definition of document.definitions) {
      if (definition.kind === Kind.FRAGMENT_DEFINITION) this.#fragments.set(definition.name.value, definition);
    }
  }

  selections(set: SelectionSetNode, parent: GraphQLNamedType | null, level: number): Weight {
    const { maxDepth, maxAnswer } = this.#limits;
    let answer = 0;
    let depth = 0;
    for (const selection of set.selections) {
      const weight = this.#selection(selection, parent, level);
      answer += weight.answer;
      depth = Math.max(depth, weight.depth);
    }
    if (level + depth > maxDepth) throw new TooMuch(`is nested deeper than ${maxDepth} levels`);
    if (answer > maxAnswer) throw new TooMuch(`may be answered with more than ${maxAnswer} fields`);
    return { answer, depth: depth + 1 };
  }

  fragment(name: string): Weight {
    const known = this.#weights.get(name);
    if (known) return known;
    // Stands while it is being weighed: one that spreads itself is refused by validation, and must not go on for ever here.
    this.#weights.set(name, { answer: 0, depth: 0 });
    const fragment = this.#fragments.get(name);
    const type = fragment && this.#schema.getType(fragment.typeCondition.name.value);
    const weight = fragment ? this.selections(fragment.selectionSet, type ?? null, 1) : { answer: 0, depth: 0 };
    this.#weights.set(name, weight);
    return weight;
  }

  #selection(selection: SelectionNode, parent: GraphQLNamedType | null, level: number): Weight {
    // Before anything inside is looked at, so that no document is too deep to be weighed.
    if (level > this.#limits.maxDepth) throw new TooMuch(`is nested deeper than ${this.#limits.maxDepth} levels`);
    if (selection.kind === Kind.FRAGMENT_SPREAD) return this.fragment(selection.name.value);
    if (selection.kind === Kind.INLINE_FRAGMENT) {
      const type = selection.typeCondition && this.#schema.getType(selection.typeCondition.name.value);
      return this.selections(selection.selectionSet, type ?? parent, level + 1);
    }
    this.#fields += 1;
    if (this.#fields > this.#limits.maxFields) throw new TooMuch(`has more than ${this.#limits.maxFields} fields`);
    if (!selection.selectionSet) return { answer: 1, depth: 0 };
    const hasFields = isObjectType(parent) || isInterfaceType(parent);
    const definition = hasFields ? parent.getFields()[selection.name.value] : undefined;
    const type = definition ? getNamedType(definition.type) : null;
    const inside = this.selections(selection.selectionSet, type, level + 1);
    return { answer: 1 + rowsOf(selection, type) * inside.answer, depth: inside.depth };
  }
}

/** How many rows a field may answer with: of a connection as many as were asked for; else one. */
const rowsOf = (field: FieldNode, type: GraphQLNamedType | null): number => {
  if (!type?.name.endsWith('Connection')) return 1;
  const size = field.arguments?.find(({ name }) => name.value === 'first' || name.value === 'last')?.value;
  if (size === undefined || size.kind === Kind.NULL) return DEFAULT_PAGE;
  // Of a variable only the most that it may be is known here.
  return size.kind === Kind.INT ? Math.min(Math.max(Number(size.value), 0), MAX_PAGE) : MAX_PAGE;
};
