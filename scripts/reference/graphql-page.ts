// Pure: the reference page of the GraphQL API: every type, field, argument and value of the schema with its description.
import {
  getNamedType,
  type GraphQLArgument,
  type GraphQLField,
  type GraphQLInputField,
  type GraphQLNamedType,
  type GraphQLSchema,
  isEnumType,
  isInputObjectType,
  isInterfaceType,
  isIntrospectionType,
  isObjectType,
  isScalarType,
  isSpecifiedScalarType,
  isUnionType,
  print,
} from 'graphql';
import { escapeMarkdown } from './escape-markdown.ts';

const BUILT_IN: Readonly<Record<string, string>> = {
  Boolean: '`true` or `false`.',
  Float: 'A number.',
  ID: 'An opaque identifier. Compare it and send it back unchanged.',
  Int: 'A 32-bit integer.',
  String: 'Text.',
};

export function graphqlPage(schema: GraphQLSchema): string {
  const roots = [schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()];
  const types = Object.values(schema.getTypeMap())
    .filter((type) => !isIntrospectionType(type) && !roots.some((root) => root === type))
    .toSorted((one, other) => (one.name < other.name ? -1 : 1));
  const section = (title: string, isOfIt: (type: GraphQLNamedType) => boolean): string[] => [
    `## ${title}`,
    ...types.filter(isOfIt).flatMap((type) => wordsOf(schema, type)),
  ];
  return [
    ...roots.flatMap((root) =>
      root
        ? [
            `## ${root.name}`,
            root.description ?? '',
            ...Object.values(root.getFields()).flatMap((one) => rootField(root.name, one)),
          ]
        : [],
    ),
    ...section('Inputs', isInputObjectType),
    ...section('Objects', isObjectType),
    ...section('Unions', isUnionType),
    ...section('Interfaces', isInterfaceType),
    ...section('Enums', isEnumType),
    ...section('Scalars', isScalarType),
  ]
    .filter((part) => part !== '')
    .join('\n\n');
}

function linked(type: { toString(): string }, name: string): string {
  return `[\`${String(type)}\`](#${name.toLowerCase()})`;
}

function typed(one: GraphQLField<unknown, unknown> | GraphQLArgument | GraphQLInputField): string {
  return linked(one.type, getNamedType(one.type).name);
}

function defaultOf({ default: given }: GraphQLArgument | GraphQLInputField): string {
  return given?.literal ? `, defaults to \`${print(given.literal)}\`` : '';
}

function deprecated(one: { deprecationReason?: string | null | undefined }): string {
  return one.deprecationReason ? ` **Deprecated:** ${escapeMarkdown(one.deprecationReason)}` : '';
}

function inputLine(one: GraphQLArgument | GraphQLInputField, indent = ''): string {
  return `${indent}- \`${one.name}\`: ${typed(one)}${defaultOf(one)}. ${escapeMarkdown(one.description)}${deprecated(one)}`;
}

function fieldLines(one: GraphQLField<unknown, unknown>): string {
  return [
    `- \`${one.name}\`: ${typed(one)}. ${escapeMarkdown(one.description)}${deprecated(one)}`,
    ...one.args.map((argument) => inputLine(argument, '  ')),
  ].join('\n');
}

function rootField(root: string, one: GraphQLField<unknown, unknown>): string[] {
  return [
    `### ${root}.${one.name}`,
    `${escapeMarkdown(one.description)}${deprecated(one)}`,
    [...one.args.map((argument) => inputLine(argument)), `- Returns ${typed(one)}`].join('\n'),
  ];
}

function wordsOf(schema: GraphQLSchema, type: GraphQLNamedType): string[] {
  const description =
    type.description && !isSpecifiedScalarType(type) ? escapeMarkdown(type.description) : (BUILT_IN[type.name] ?? '');
  const head = [`### ${type.name}`, description];
  if (isUnionType(type)) return [...head, namesOf('One of', type.getTypes())];
  if (isEnumType(type)) {
    return [
      ...head,
      type
        .getValues()
        .map((one) => `- \`${one.name}\`: ${escapeMarkdown(one.description)}${deprecated(one)}`)
        .join('\n'),
    ];
  }
  if (isInputObjectType(type))
    return [
      ...head,
      Object.values(type.getFields())
        .map((one) => inputLine(one))
        .join('\n'),
    ];
  if (isInterfaceType(type)) {
    return [
      ...head,
      namesOf('Implemented by', schema.getPossibleTypes(type)),
      Object.values(type.getFields()).map(fieldLines).join('\n'),
    ];
  }
  if (isObjectType(type)) {
    return [
      ...head,
      namesOf('Implements', type.getInterfaces()),
      Object.values(type.getFields()).map(fieldLines).join('\n'),
    ];
  }
  return head;
}

function namesOf(verb: string, types: readonly GraphQLNamedType[]): string {
  return types.length === 0
    ? ''
    : `${verb} ${types.map(({ name }) => `[${name}](#${name.toLowerCase()})`).join(', ')}.`;
}
