import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buildSchema, type DefinitionNode, Kind, parse, print, specifiedRules, validate, visit } from 'graphql';
import { expect, test } from 'vitest';
import { listSentDocuments } from '../../console/documents-plugin.ts';
import { readSourceFiles, ROOT } from '../support/source-files.ts';

// TypeScript infers the types of the documents, but accepts unknown arguments and missing variables.

const files = await readSourceFiles('console/src');
const schema = buildSchema(await readFile(join(ROOT, 'schema.graphql'), 'utf8'));
const documents = files.flatMap(({ path, text }) =>
  [...text.matchAll(/\bgraphql\(\s*`([^`]*)`/g)].map(([, source = '']) => ({
    path,
    definitions: parse(source).definitions,
  })),
);
const fragments = documents.flatMap(({ definitions }) =>
  definitions.filter((definition) => definition.kind === Kind.FRAGMENT_DEFINITION),
);
// Every operation is validated with all fragments, most of which it does not use.
const rules = specifiedRules.filter(({ name }) => name !== 'NoUnusedFragmentsRule');

const operations = documents.flatMap(({ path, definitions }) =>
  definitions
    .filter((definition: DefinitionNode) => definition.kind === Kind.OPERATION_DEFINITION)
    .map((definition) => ({ path, definition })),
);

test('documents of the console > are valid for schema.graphql', () => {
  expect(operations.length).toBeGreaterThan(2);
  const problems = operations.flatMap(({ path, definition }) =>
    validate(schema, { kind: Kind.DOCUMENT, definitions: [definition, ...fragments] }, rules).map(
      ({ message }) => `${path}: ${message}`,
    ),
  );
  expect(problems).toEqual([]);
});

test('fragments of the console > have names of their own', () => {
  const names = fragments.map(({ name }) => name.value);
  expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([]);
});

/** Returns a definition as text without `__typename`, which urql adds. */
const withoutTypename = (definition: DefinitionNode): string =>
  print(visit(definition, { Field: ({ name }) => (name.value === '__typename' ? null : undefined) }));

test('documents of the console > are the ones that its build lists for servers with TRUSTED_DOCUMENTS_ONLY', async () => {
  const listed = (await listSentDocuments()).map((text) => {
    const document = parse(text);
    expect(validate(schema, document)).toEqual([]);
    const [operation] = document.definitions;
    return operation === undefined ? '' : withoutTypename(operation);
  });
  expect(listed.toSorted()).toEqual(operations.map(({ definition }) => withoutTypename(definition)).toSorted());
});

test('documents of the console > are all written as graphql(`…`), so that these tests read each', () => {
  const calls = files.flatMap(({ code }) => [...code.matchAll(/\bgraphql\(/g)]);
  expect(calls.length).toBe(documents.length);
});
