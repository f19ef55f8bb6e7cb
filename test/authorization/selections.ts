import {
  getNamedType,
  type GraphQLField,
  type GraphQLInputType,
  type GraphQLNamedType,
  type GraphQLSchema,
  isInputObjectType,
  isInterfaceType,
  isLeafType,
  isListType,
  isNonNullType,
  isObjectType,
  isUnionType,
} from 'graphql';

// Generates calls and selections from the schema, so that a new field is tested as soon as it is added.

/** A field with its type, such as `Query.node`. */
export type Place = string;
export type Args = Readonly<Record<string, unknown>>;

/** Lists every field of Query, Mutation and Subscription. */
export const rootFields = (schema: GraphQLSchema): Place[] =>
  [schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()].flatMap((root) =>
    Object.keys(root?.getFields() ?? {}).map((name) => `${root?.name}.${name}`),
  );

export const fieldAt = (schema: GraphQLSchema, place: Place): GraphQLField<unknown, unknown> => {
  const [typeName = '', name = ''] = place.split('.');
  const type = schema.getType(typeName);
  const field = isObjectType(type) ? type.getFields()[name] : undefined;
  if (!field) throw new Error(`There is no ${place}.`);
  return field;
};

/** Returns the object types that a field can return. */
export const objectsOf = (schema: GraphQLSchema, type: GraphQLNamedType): readonly GraphQLNamedType[] =>
  isUnionType(type) || isInterfaceType(type) ? schema.getPossibleTypes(type) : isObjectType(type) ? [type] : [];

/** A page of one row, because lists below lists are limited by document cost, and a span if one is required. */
const argumentsOf = ({ args }: GraphQLField<unknown, unknown>): string => {
  const given = args.flatMap(({ name, type }) => {
    if (name === 'first') return ['first: 1'];
    return isNonNullType(type) && (name === 'from' || name === 'to')
      ? [`${name}: "2026-0${name === 'from' ? 1 : 2}-01T00:00:00Z"`]
      : [];
  });
  return given.length > 0 ? `(${given.join(', ')})` : '';
};

/** Returns the fields that several of these types have, with different types: one selection of both needs an alias. */
const conflictsOf = (types: readonly GraphQLNamedType[]): Set<string> => {
  const found = new Map<string, Set<string>>();
  for (const type of types) {
    for (const field of isObjectType(type) ? Object.values(type.getFields()) : []) {
      found.set(field.name, (found.get(field.name) ?? new Set()).add(field.type.toString()));
    }
  }
  return new Set([...found].flatMap(([name, spelled]) => (spelled.size > 1 ? [name] : [])));
};

/** Selects every allowed field below a type; on each path a type occurs once. Fields in `aliased` get an alias. */
export const selectAll = (
  schema: GraphQLSchema,
  type: GraphQLNamedType,
  isAllowed: (place: Place) => boolean = () => true,
  above: readonly string[] = [],
  aliased: ReadonlySet<string> = new Set(),
): string => {
  if (isLeafType(type)) return '';
  if (!isObjectType(type)) {
    const objects = objectsOf(schema, type);
    const conflicts = conflictsOf(objects);
    const members = objects.map(
      (member) => `... on ${member.name} ${selectAll(schema, member, isAllowed, above, conflicts)}`,
    );
    return `{ __typename ${members.join(' ')} }`;
  }
  const fields = Object.values(type.getFields()).flatMap((field) => {
    const inside = getNamedType(field.type);
    if (!isAllowed(`${type.name}.${field.name}`) || [...above, type.name].includes(inside.name)) return [];
    const alias = aliased.has(field.name) ? `${field.name}Of${type.name}: ` : '';
    return [
      `${alias}${field.name}${argumentsOf(field)} ${selectAll(schema, inside, isAllowed, [...above, type.name])}`,
    ];
  });
  return `{ __typename ${fields.join(' ')} }`;
};

/** Selects one field below another, on the shortest path of allowed fields, with everything below it. */
export const selectOne = (
  schema: GraphQLSchema,
  from: Place,
  wanted: Place,
  isAllowed: (place: Place) => boolean,
): string => {
  const [type = '', name = ''] = wanted.split('.');
  const field = fieldAt(schema, wanted);
  const last = `... on ${type} { ${name}${argumentsOf(field)} ${selectAll(schema, getNamedType(field.type))} }`;
  /** Functions that build the selection down to each type. */
  const ways = new Map<string, (inside: string) => string>();
  let ends: [Place, (inside: string) => string][] = [[from, (inside) => `{ __typename ${inside} }`]];
  while (ends.length > 0 && !ways.has(type)) {
    const next: typeof ends = [];
    for (const [place, way] of ends) {
      for (const object of objectsOf(schema, getNamedType(fieldAt(schema, place).type))) {
        if (ways.has(object.name) || !isObjectType(object)) continue;
        ways.set(object.name, way);
        for (const field of Object.values(object.getFields())) {
          if (isLeafType(getNamedType(field.type)) || !isAllowed(`${object.name}.${field.name}`)) continue;
          next.push([
            `${object.name}.${field.name}`,
            (inside) => way(`... on ${object.name} { ${field.name}${argumentsOf(field)} { __typename ${inside} } }`),
          ]);
        }
      }
    }
    ends = next;
  }
  const way = ways.get(type);
  if (!way) throw new Error(`From ${from} no way leads to ${wanted}.`);
  return way(last);
};

export interface Asked {
  readonly query: string;
  readonly variables: Args;
}

/** Builds a document that calls a root field with these arguments under the alias `it`. */
export const callOf = (schema: GraphQLSchema, place: Place, args: Args, selection: string): Asked => {
  const [root = '', name = ''] = place.split('.');
  const known = fieldAt(schema, place).args.filter((argument) => argument.name in args);
  const stray = Object.keys(args).filter((one) => !known.some((argument) => argument.name === one));
  if (stray.length > 0) throw new Error(`${place} takes no ${stray.join(', ')}.`);
  const declared = known.map((argument) => `$${argument.name}: ${argument.type.toString()}`);
  const given = known.map((argument) => `${argument.name}: $${argument.name}`);
  const inBraces = (parts: readonly string[]): string => (parts.length > 0 ? `(${parts.join(', ')})` : '');
  return {
    query: `${root.toLowerCase()} ${inBraces(declared)} { it: ${name}${inBraces(given)} ${selection} }`,
    variables: args,
  };
};

/** An argument that takes a text or an id: its path within the arguments of a field, and the name of its type. */
export interface Leaf {
  readonly place: Place;
  readonly path: readonly string[];
  readonly type: string;
}

/** Lists all arguments that take a text or an id. */
export const leavesOf = (schema: GraphQLSchema): Leaf[] => {
  const inside = (place: Place, type: GraphQLInputType, path: readonly string[]): Leaf[] => {
    const named = getNamedType(type);
    if (named.name === 'String' || named.name === 'ID') return [{ place, path, type: named.name }];
    if (!isInputObjectType(named)) return [];
    return Object.values(named.getFields()).flatMap((field) => inside(place, field.type, [...path, field.name]));
  };
  return Object.values(schema.getTypeMap())
    .filter((type) => isObjectType(type) && !type.name.startsWith('__'))
    .flatMap((type) =>
      isObjectType(type)
        ? Object.values(type.getFields()).flatMap((field) =>
            field.args.flatMap((argument) => inside(`${type.name}.${field.name}`, argument.type, [argument.name])),
          )
        : [],
    );
};

/** The value without the fields that the type does not have. */
const fitting = (type: GraphQLInputType, value: unknown): unknown => {
  if (isNonNullType(type)) return fitting(type.ofType, value);
  if (isListType(type)) return Array.isArray(value) ? value.map((one) => fitting(type.ofType, one)) : value;
  if (!isInputObjectType(type) || typeof value !== 'object' || value === null) return value;
  const fields = type.getFields();
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, one]) => {
      const field = fields[name];
      return field ? [[name, fitting(field.type, one)]] : [];
    }),
  );
};

/** Returns the arguments with one text replaced. Throws if they do not contain the path. */
export const withLeaf = (schema: GraphQLSchema, { place, path }: Leaf, args: Args, text: string): Args => {
  const put = (type: GraphQLInputType, value: unknown, rest: readonly string[]): unknown => {
    if (isNonNullType(type)) return put(type.ofType, value, rest);
    if (isListType(type)) {
      if (rest.length === 0) return [text];
      if (!Array.isArray(value) || value.length === 0)
        throw new Error(`The call of ${place} has no ${path.join('.')}.`);
      const [first, ...others] = value as unknown[];
      return [put(type.ofType, first, rest), ...others];
    }
    const [name, ...deeper] = rest;
    if (name === undefined) return text;
    if (isInputObjectType(type) && type.isOneOf) {
      const member = type.getFields()[name];
      if (!member) throw new Error(`${type.name} has no ${name}.`);
      // The call gives one member. The others are filled with what they have in common with it.
      const given = Object.entries((value as Args | null | undefined) ?? {})[0]?.[1];
      return { [name]: put(member.type, fitting(member.type, given), deeper) };
    }
    if (!isInputObjectType(type) || typeof value !== 'object' || value === null) {
      throw new Error(`The call of ${place} has no ${path.join('.')}.`);
    }
    const field = type.getFields()[name];
    if (!field) throw new Error(`${type.name} has no ${name}.`);
    return { ...value, [name]: put(field.type, (value as Args)[name], deeper) };
  };
  const [first = '', ...rest] = path;
  const argument = fieldAt(schema, place).args.find(({ name }) => name === first);
  if (!argument) throw new Error(`${place} takes no ${first}.`);
  return { ...args, [first]: put(argument.type, args[first], rest) };
};
