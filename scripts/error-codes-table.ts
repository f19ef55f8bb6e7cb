/**
 * Prints the table of the codes of top-level errors as the README shows it. With --write it is put between the README's marks
 * `<!-- error-codes -->` and `<!-- /error-codes -->`; with --check the script ends with 1 where another stands there.
 */
import { ERROR_CODES } from '../src/graphql/error-codes.ts';
import { formatTable, readTable, writeTable } from './readme-tables.ts';

const table = formatTable([
  ['code', 'status', 'meaning'],
  ...Object.entries(ERROR_CODES).map(([code, { status, meaning }]) => [`\`${code}\``, String(status), meaning]),
]);

const [mode] = process.argv.slice(2);
if (mode === undefined) {
  process.stdout.write(table);
} else if (mode === '--write') {
  await writeTable('error-codes', table);
} else if ((await readTable('error-codes')) !== table.trim()) {
  console.error('The codes in README.md are not those of src/graphql/error-codes.ts: run `npm run docs`.');
  process.exitCode = 1;
}
