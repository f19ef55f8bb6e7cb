import { buildSchema, isNonNullType, isUnionType } from 'graphql';
import { expect, test } from 'vitest';
import { readFile, readdir } from 'node:fs/promises';

const schema = buildSchema(await readFile('schema.graphql', 'utf8'));

/** Fields whose result may be a ValidationError. */
const fields = [schema.getQueryType(), schema.getMutationType()].flatMap((root) =>
  Object.values(root?.getFields() ?? {}).flatMap(({ name, type }) => {
    const union = isNonNullType(type) ? type.ofType : type;
    const types = isUnionType(union) ? union.getTypes() : [];
    return types.some((member) => member.name === 'ValidationError') ? [name] : [];
  }),
);

const paths = (await readdir('src/cli', { recursive: true })).filter((path) => path.endsWith('.ts'));
const sources = await Promise.all(paths.map((path) => readFile(`src/cli/${path}`, 'utf8')));
const documents = sources.flatMap((source) => source.match(/`(?:mutation|query)\b[^`]*`/g) ?? []);

test('documents of the command line > select the issues of every result that can be a ValidationError', () => {
  const requested = documents.filter((document) => fields.some((name) => new RegExp(`\\b${name}\\(`).test(document)));
  expect(requested.length).toBeGreaterThan(8);
  expect(requested.filter((document) => !document.includes('${USER_ERRORS}'))).toEqual([]);
});
