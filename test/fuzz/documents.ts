import {
  getNamedType,
  type GraphQLArgument,
  type GraphQLInputType,
  type GraphQLNamedType,
  type GraphQLObjectType,
  type GraphQLSchema,
  isEnumType,
  isInputObjectType,
  isInterfaceType,
  isLeafType,
  isListType,
  isNonNullType,
  isObjectType,
  isUnionType,
} from 'graphql';
import { type Json, RawJson, writeJson } from './mutate.ts';
import type { Random } from './random.ts';
import type { Values } from './values.ts';

// GraphQL documents out of the schema itself, so that a field is tried from the day on which it is added.

export interface Operation {
  readonly query: string;
  readonly variables: { readonly [name: string]: Json };
  readonly kind: 'query' | 'mutation' | 'subscription';
}

/** A value of an enum, which has no quotes in a document. */
class EnumName extends RawJson {}

export const createDocuments = (schema: GraphQLSchema, random: Random, values: Values) => {
  /** A value for an input; undefined where it is left out. */
  const valueFor = (type: GraphQLInputType, name: string, depth = 0): Json | undefined => {
    if (isNonNullType(type)) {
      if (random.chance(0.01)) return null;
      return valueFor(type.ofType, name, depth) ?? values.for(name, getNamedType(type).name);
    }
    if (depth > 0 && random.chance(0.5)) return random.chance(0.1) ? null : undefined;
    if (isListType(type)) {
      const count = random.pick([0, 1, 1, 1, 2, 3]);
      return Array.from({ length: count }, () => valueFor(type.ofType, name, depth) ?? null);
    }
    if (isInputObjectType(type)) {
      const fields = Object.values(type.getFields()).flatMap((field): [string, Json][] => {
        const value = valueFor(field.type, field.name, depth + 1);
        return value === undefined ? [] : [[field.name, value]];
      });
      if (random.chance(0.02)) fields.push(['nothing', values.hostile()]);
      return Object.fromEntries(fields);
    }
    if (isEnumType(type)) return new EnumName(random.pick(type.getValues()).name);
    return values.for(name, type.name);
  };

  const argumentsOf = (args: readonly GraphQLArgument[], variables: Map<string, readonly [string, Json]>): string => {
    const written = args.flatMap((argument) => {
      const value = isNonNullType(argument.type)
        ? valueFor(argument.type, argument.name)
        : valueFor(argument.type, argument.name, random.chance(0.5) ? 0 : 1);
      if (value === undefined) return [];
      if (random.chance(0.5)) return [`${argument.name}: ${literal(value)}`];
      const name = `v${variables.size}`;
      variables.set(name, [String(argument.type), asVariable(value)]);
      return [`${argument.name}: $${name}`];
    });
    return written.length > 0 ? `(${written.join(', ')})` : '';
  };

  const selectionOf = (
    type: GraphQLNamedType,
    depth: number,
    variables: Map<string, readonly [string, Json]>,
  ): string => {
    if (isLeafType(type)) return '';
    if (isUnionType(type) || isInterfaceType(type)) {
      const members = schema.getPossibleTypes(type).filter(() => random.chance(0.7));
      const parts = members.map((member) => `... on ${member.name} ${selectionOf(member, depth, variables)}`);
      return `{ __typename ${parts.join(' ')} }`;
    }
    if (!isObjectType(type)) return '';
    const share = depth > 0 ? 0.6 : 0;
    const fields = Object.values(type.getFields()).filter(
      (field) => isLeafType(getNamedType(field.type)) || random.chance(share),
    );
    const chosen = fields.filter(() => random.chance(0.7));
    const parts = chosen.map((field) => {
      const alias = random.chance(0.1) ? `a${random.below(3)}: ` : '';
      const directive = random.chance(0.03)
        ? random.pick([' @include(if: true)', ' @skip(if: true)', ' @nothing'])
        : '';
      const inside = selectionOf(getNamedType(field.type), depth - 1, variables);
      return `${alias}${field.name}${argumentsOf(field.args, variables)}${directive} ${inside}`;
    });
    return `{ ${['__typename', ...parts].join(' ')} }`;
  };

  const operation = (wanted?: Operation['kind']): Operation => {
    const kind = wanted ?? random.pick(['query', 'query', 'query', 'mutation', 'mutation', 'mutation', 'subscription']);
    const root = {
      query: schema.getQueryType(),
      mutation: schema.getMutationType(),
      subscription: schema.getSubscriptionType(),
    }[kind] as GraphQLObjectType;
    const variables = new Map<string, readonly [string, Json]>();
    const count = kind === 'subscription' ? 1 : random.pick([1, 1, 1, 2, 3]);
    const fields = Array.from({ length: count }, (_, index) => {
      const field = random.pick(Object.values(root.getFields()));
      return `f${index}: ${field.name}${argumentsOf(field.args, variables)} ${selectionOf(getNamedType(field.type), 3, variables)}`;
    });
    const declared = [...variables].map(([name, [type]]) => `$${name}: ${type}`);
    return {
      kind,
      query: `${kind} ${declared.length > 0 ? `(${declared.join(', ')})` : ''} { ${fields.join('\n')} }`,
      variables: Object.fromEntries([...variables].map(([name, [, value]]) => [name, value])),
    };
  };

  return { operation };
};

/** As a literal of the document; what JSON alone can say is said as a string. */
const literal = (value: Json): string => {
  if (value instanceof RawJson) return value.text;
  if (Array.isArray(value)) return `[${value.map((one: Json) => literal(one)).join(', ')}]`;
  if (typeof value !== 'object' || value === null) return writeJson(value);
  const fields = Object.entries(value).map(([name, one]) => `${name}: ${literal(one)}`);
  return `{ ${fields.join(', ')} }`;
};

const asVariable = (value: Json): Json => {
  if (value instanceof EnumName) return value.text;
  if (Array.isArray(value)) return value.map((one: Json) => asVariable(one));
  if (typeof value !== 'object' || value === null || value instanceof RawJson) return value;
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, asVariable(one)]));
};
