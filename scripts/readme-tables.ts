import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

// Tables that programs write into the README, each between the marks `<!-- name -->` and `<!-- /name -->`.

const FILE = join(import.meta.dirname, '../README.md');

const between = (name: string): RegExp => new RegExp(`(?<=<!-- ${name} -->\\n)[\\s\\S]*?(?=<!-- /${name} -->)`);

/** As the formatter sets tables, so that it leaves this one as it is. The first row is the head. */
export const formatTable = (rows: readonly (readonly string[])[]): string => {
  const cells = rows.map((row) => row.map((cell) => cell.replaceAll('|', '\\|')));
  const [head = [], ...body] = cells;
  // The formatter draws no line shorter than three.
  const widths = head.map((_, column) => Math.max(3, ...cells.map((row) => row[column]?.length ?? 0)));
  const lineOf = (row: readonly string[], filler = ' '): string =>
    `| ${widths.map((width, column) => (row[column] ?? '').padEnd(width, filler)).join(' | ')} |\n`;
  return [lineOf(head), lineOf([], '-'), ...body.map((row) => lineOf(row))].join('');
};

/** What stands between the marks now. */
export const readTable = async (name: string): Promise<string> => {
  const found = between(name).exec(await readFile(FILE, 'utf8'))?.[0];
  if (found === undefined) throw new Error(`README.md has no marks <!-- ${name} --> and <!-- /${name} -->.`);
  return found.trim();
};

export const writeTable = async (name: string, table: string): Promise<void> => {
  const readme = await readFile(FILE, 'utf8');
  await writeFile(
    FILE,
    readme.replace(between(name), () => `\n${table.trim()}\n\n`),
  );
};
