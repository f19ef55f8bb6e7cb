import {
  buildClientSchema,
  getIntrospectionQuery,
  type IntrospectionQuery,
  lexicographicSortSchema,
  printSchema,
} from 'graphql';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestServer, type TestServer } from '../support/server.ts';
import { ROOT } from '../support/source-files.ts';

// By hand, from the GraphQL specification of September 2025: https://spec.graphql.org/September2025/#sec-Schema-Introspection

const LOCATIONS =
  'QUERY MUTATION SUBSCRIPTION FIELD FRAGMENT_DEFINITION FRAGMENT_SPREAD INLINE_FRAGMENT VARIABLE_DEFINITION ' +
  'SCHEMA SCALAR OBJECT FIELD_DEFINITION ARGUMENT_DEFINITION INTERFACE UNION ENUM ENUM_VALUE INPUT_OBJECT ' +
  'INPUT_FIELD_DEFINITION';

const DIRECTIVES = {
  deprecated: ['FIELD_DEFINITION', 'ARGUMENT_DEFINITION', 'INPUT_FIELD_DEFINITION', 'ENUM_VALUE'],
  include: ['FIELD', 'FRAGMENT_SPREAD', 'INLINE_FRAGMENT'],
  oneOf: ['INPUT_OBJECT'],
  skip: ['FIELD', 'FRAGMENT_SPREAD', 'INLINE_FRAGMENT'],
  specifiedBy: ['SCALAR'],
};

/** Fields, each with its arguments behind it, and values of enums. */
const TYPES = {
  __Schema: 'description types queryType mutationType subscriptionType directives',
  __Type:
    'kind name description specifiedByURL fields(includeDeprecated) interfaces possibleTypes enumValues(includeDeprecated) inputFields(includeDeprecated) ofType isOneOf',
  __TypeKind: 'SCALAR OBJECT INTERFACE UNION ENUM INPUT_OBJECT LIST NON_NULL',
  __Field: 'name description args(includeDeprecated) type isDeprecated deprecationReason',
  __InputValue: 'name description type defaultValue isDeprecated deprecationReason',
  __EnumValue: 'name description isDeprecated deprecationReason',
  __Directive: 'name description isRepeatable locations args(includeDeprecated)',
  __DirectiveLocation: LOCATIONS,
};

let server: TestServer;
let introspection: IntrospectionQuery;
beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api' } });
  const query = getIntrospectionQuery({
    specifiedByUrl: true,
    directiveIsRepeatable: true,
    schemaDescription: true,
    inputValueDeprecation: true,
    oneOf: true,
  });
  const { data } = await server.request(query, {}, null);
  introspection = data as unknown as IntrospectionQuery;
});
afterAll(() => server.stop());

const sorted = (words: Iterable<string>): string[] => [...words].toSorted();

describe('introspection', () => {
  test('shows the directives of the published specification, with the locations that it allows', () => {
    const shown = introspection.__schema.directives.map(({ name, locations }) => [name, sorted(locations)] as const);
    const published = Object.entries(DIRECTIVES).map(([name, locations]) => [name, sorted(locations)] as const);
    expect(Object.fromEntries(shown)).toEqual(Object.fromEntries(published));
  });

  test('has the types of the published specification, with its fields, arguments and values', () => {
    const shown = introspection.__schema.types
      .filter(({ name }) => name.startsWith('__'))
      .map((type) => {
        if (type.kind === 'ENUM') return [type.name, sorted(type.enumValues.map(({ name }) => name))] as const;
        const fields = type.kind === 'OBJECT' ? type.fields : [];
        const words = fields.map(({ name, args }) => {
          const names = args.map((argument) => argument.name).join(' ');
          return names === '' ? name : `${name}(${names})`;
        });
        return [type.name, sorted(words)] as const;
      });
    const published = Object.entries(TYPES).map(([name, words]) => [name, sorted(words.split(' '))] as const);
    expect(Object.fromEntries(shown)).toEqual(Object.fromEntries(published));
  });

  test('rebuilds schema.graphql in a client', async () => {
    const printed = printSchema(lexicographicSortSchema(buildClientSchema(introspection)));
    const file = await readFile(join(ROOT, 'schema.graphql'), 'utf8');
    // printSchema() leaves out the directives of the specification.
    const [, definitions] = file.split('directive @oneOf on INPUT_OBJECT\n\n');
    expect(`${printed}\n`).toBe(definitions);
  });
});
