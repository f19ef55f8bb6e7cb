import { parseSync } from 'oxc-parser';
import { describe, expect, test } from 'vitest';
import { readSourceFiles } from '../support/source-files.ts';

/** The names and lines of module-level constants that are arrow functions of more than one line, without a type of their own. */
const arrowFunctions = (path: string, source: string): string[] =>
  parseSync(path, source).program.body.flatMap((statement) => {
    const declaration = statement.type === 'ExportNamedDeclaration' ? statement.declaration : statement;
    if (declaration?.type !== 'VariableDeclaration') return [];
    return declaration.declarations.flatMap(({ id, init }) => {
      const arrow =
        id.type === 'Identifier' &&
        !id.typeAnnotation &&
        init?.type === 'ArrowFunctionExpression' &&
        (init.body.type === 'BlockStatement' || source.slice(id.start, init.end).includes('\n'));
      return arrow ? [`${path}:${source.slice(0, id.start).split('\n').length}: ${id.name}`] : [];
    });
  });

describe('functions of a module', () => {
  test('are declared with `function` unless they fit on one line', async () => {
    const files = await readSourceFiles('src', 'scripts', 'bench', 'test/support');
    const wrong = files.flatMap(({ path, text }) => arrowFunctions(path, text));
    expect(
      wrong,
      'Write `function f(…) {…}` instead of `const f = (…) => …`, unless it is one expression on one line',
    ).toEqual([]);
    expect(files.length).toBeGreaterThan(250);
  });

  test('are reported if they are arrows, exported or not', () => {
    const source =
      'const a = () => {};\nexport const b = async <T>(x: T) =>\n  x;\nfunction c() {}\nconst d: C = () => {};\nconst e = () => 1;\n';
    expect(arrowFunctions('x.ts', source)).toEqual(['x.ts:1: a', 'x.ts:2: b']);
  });
});
