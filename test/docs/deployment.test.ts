import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { createProgram } from '../../src/cli/program.ts';
import { ROOT } from '../support/source-files.ts';
import { blocksOf } from './pages.ts';

const page = await readFile(join(ROOT, 'docs/deployment.md'), 'utf8');

test('docs/deployment.md > operator commands include every command of the program', () => {
  const program = createProgram({
    env: {},
    terminal: { print: () => {}, message: () => {}, isInteractive: false, columns: 80, style: (_, text) => text },
    log: { debug: () => {}, warn: () => {}, error: () => {} },
    onBroken: () => {},
    onInterrupted: () => {},
  });
  const typed = program.commands.flatMap((command) =>
    (command.commands.length === 0 ? [''] : command.commands.map((sub) => ` ${sub.name()}`)).map(
      (sub) => `npm run -s sluice -- ${command.name()}${sub}`,
    ),
  );
  const shown = blocksOf(page)
    .filter(({ language }) => language === 'sh')
    .flatMap(({ text }) => text.split('\n'));
  expect(typed.filter((command) => !shown.some((line) => line.startsWith(command)))).toEqual([]);
  expect(typed).toHaveLength(46);
  expect(page).not.toContain('npm run sluice');
});
