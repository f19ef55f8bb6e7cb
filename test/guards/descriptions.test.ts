import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  buildSchema,
  type GraphQLSchema,
  isEnumType,
  isInputObjectType,
  isInterfaceType,
  isObjectType,
  isSpecifiedDirective,
  isSpecifiedScalarType,
} from 'graphql';
import { describe, expect, test } from 'vitest';
import { describeSettings } from '../../src/config/config.ts';
import { ROOT } from '../support/source-files.ts';

interface Described {
  readonly name: string;
  readonly description: string | null | undefined;
}

const ARTICLES = new Set(['a', 'an', 'the', 'of', 'its', 'this', 'is']);

function wordsOf(text: string): string[] {
  return text
    .replaceAll(/([a-z])([A-Z])/g, '$1 $2')
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .filter((word) => word !== '' && !ARTICLES.has(word))
    .map((word) => word.replace(/s$/, ''));
}

/** Returns what is wrong with a description, or null. */
function descriptionProblem({ name, description }: Described): string | null {
  if (!description) return 'is missing';
  if (!/^[A-Z0-9`"]/.test(description)) return 'does not begin with a capital, a digit or code';
  if (!/[.!?)]$|```$/.test(description)) return 'does not end with a full stop';
  if (description.split(/\s+/).length < 3) return 'has fewer than 3 words';
  const named = wordsOf(name.slice(name.lastIndexOf('.') + 1));
  if (wordsOf(description).every((word) => named.includes(word))) return 'only repeats the name';
  return null;
}

/** Types, fields, arguments, enum values and directives. */
function listElements(schema: GraphQLSchema): Described[] {
  const types = Object.values(schema.getTypeMap()).filter(
    (type) => !type.name.startsWith('__') && !isSpecifiedScalarType(type),
  );
  const described = types.flatMap((type): Described[] => {
    const own = { name: type.name, description: type.description };
    const inside = (member: Described): Described => ({ ...member, name: `${type.name}.${member.name}` });
    if (isEnumType(type)) return [own, ...type.getValues().map(inside)];
    if (isInputObjectType(type)) return [own, ...Object.values(type.getFields()).map(inside)];
    if (!isObjectType(type) && !isInterfaceType(type)) return [own];
    return [
      own,
      ...Object.values(type.getFields()).flatMap((field) => [
        inside(field),
        ...field.args.map((arg) => inside({ ...arg, name: `${field.name}.${arg.name}` })),
      ]),
    ];
  });
  return [...described, ...schema.getDirectives().filter((directive) => !isSpecifiedDirective(directive))];
}

function problems(described: readonly Described[]): string[] {
  return described.flatMap((element) => {
    const problem = descriptionProblem(element);
    return problem === null ? [] : [`${element.name}: ${JSON.stringify(element.description)} ${problem}`];
  });
}

describe('descriptions', () => {
  test('of the schema are sentences, for each type, field, argument and enum value', async () => {
    const elements = listElements(buildSchema(await readFile(join(ROOT, 'schema.graphql'), 'utf8')));
    expect(problems(elements)).toEqual([]);
    expect(elements.length).toBeGreaterThan(450);
  });

  test('of settings are sentences', () => {
    const settings = describeSettings();
    expect(problems(settings)).toEqual([]);
    expect(settings.length).toBeGreaterThan(50);
  });

  test.each([
    ['Run.id', null],
    ['Run.id', ''],
    ['Run.id', 'global id of the run.'],
    ['Run.id', 'Global id of the run'],
    ['UserError.code', 'For programs.'],
    ['LimitExceededError.limit', 'This is the limit.'],
    ['AllocationOperation.insertedRecords', 'The inserted records.'],
  ])('are rejected if they say nothing or are not a sentence: %s %j', (name, description) => {
    expect(descriptionProblem({ name, description })).not.toBeNull();
  });

  test('are accepted if they begin with code or end with an example', () => {
    const schema = buildSchema(
      '"""An example type."""\ntype Query {\n"""`gzip` compresses the file (`.gz`)"""\na("""Maximum 3 items."""b: Int): Int }',
    );
    expect(problems(listElements(schema))).toEqual([]);
    expect(listElements(schema).map(({ name }) => name)).toEqual(['Query', 'Query.a', 'Query.a.b']);
  });
});
