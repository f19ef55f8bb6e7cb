/**
 * Prints the table of settings as the README shows it. With --write it is put between the README's marks
 * `<!-- settings -->` and `<!-- /settings -->`; with --check the script ends with 1 where another stands there.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describeSettings } from '../src/config.ts';

const BETWEEN_MARKS = /(?<=<!-- settings -->\n)[\s\S]*?(?=<!-- \/settings -->)/;
const file = join(import.meta.dirname, '../README.md');

const cell = (text: string): string => text.replaceAll('|', '\\|');
const rows = [
  ['setting', 'default', 'meaning'],
  ...describeSettings().map(({ name, defaultText, description }) => [
    `\`${name}\``,
    cell(defaultText),
    cell(description),
  ]),
];
// As the formatter sets tables, so that it leaves this one as it is.
const widths = [0, 1, 2].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
const lineOf = (cells: readonly string[], filler = ' '): string =>
  `| ${widths.map((width, column) => (cells[column] ?? '').padEnd(width, filler)).join(' | ')} |\n`;
const [head = [], ...body] = rows;
const table = [lineOf(head), lineOf([], '-'), ...body.map((row) => lineOf(row))].join('');

const [mode] = process.argv.slice(2);
if (mode === undefined) {
  process.stdout.write(table);
} else {
  const readme = await readFile(file, 'utf8');
  const found = BETWEEN_MARKS.exec(readme)?.[0];
  if (found === undefined) throw new Error('README.md has no marks <!-- settings --> and <!-- /settings -->.');
  if (mode === '--write') {
    await writeFile(
      file,
      readme.replace(BETWEEN_MARKS, () => `\n${table}\n`),
    );
  } else if (found.trim() !== table.trim()) {
    console.error('The settings in README.md are not those of src/config.ts: run `npm run docs`.');
    process.exitCode = 1;
  }
}
