import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

// Parts of pages that programs write, each between the marks `<!-- name -->` and `<!-- /name -->`.

const ROOT = join(import.meta.dirname, '..');

function partPattern(name: string): RegExp {
  return new RegExp(`(?<=<!-- ${name} -->\\n)[\\s\\S]*?(?=<!-- /${name} -->)`);
}

/** Returns a Markdown table in the layout of the formatter, which therefore leaves it as it is. The first row is the header. */
export function formatTable(rows: readonly (readonly string[])[]): string {
  const cells = rows.map((row) => row.map((cell) => cell.replaceAll('|', '\\|')));
  const [head = [], ...body] = cells;
  // The formatter draws at least three dashes per column.
  const widths = head.map((_, column) => Math.max(3, ...cells.map((row) => row[column]?.length ?? 0)));
  const formatRow = (row: readonly string[], filler = ' '): string =>
    `| ${widths.map((width, column) => (row[column] ?? '').padEnd(width, filler)).join(' | ')} |\n`;
  return [formatRow(head), formatRow([], '-'), ...body.map((row) => formatRow(row))].join('');
}

/** Returns the text between the marks of a page, which is named by its path from the root of the checkout. */
export async function readGenerated(page: string, name: string): Promise<string> {
  const found = partPattern(name).exec(await readFile(join(ROOT, page), 'utf8'))?.[0];
  if (found === undefined) throw new Error(`${page} has no marks <!-- ${name} --> and <!-- /${name} -->.`);
  return found.trim();
}

export async function writeGenerated(page: string, name: string, text: string): Promise<void> {
  const path = join(ROOT, page);
  const before = await readFile(path, 'utf8');
  await writeFile(
    path,
    before.replace(partPattern(name), () => `\n${text.trim()}\n\n`),
  );
}
