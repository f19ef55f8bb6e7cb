/**
 * Prints the table of settings as the README shows it. With --write it is put between the README's marks
 * `<!-- settings -->` and `<!-- /settings -->`; with --check the script ends with 1 where another stands there.
 */
import { describeSettings } from '../src/config/config.ts';
import { formatTable, readTable, writeTable } from './readme-tables.ts';

const table = formatTable([
  ['setting', 'default', 'meaning'],
  ...describeSettings().map(({ name, defaultText, description }) => [`\`${name}\``, defaultText, description]),
]);

const [mode] = process.argv.slice(2);
if (mode === undefined) {
  process.stdout.write(table);
} else if (mode === '--write') {
  await writeTable('settings', table);
} else if ((await readTable('settings')) !== table.trim()) {
  console.error('The settings in README.md are not those of src/config/settings.ts: run `npm run docs`.');
  process.exitCode = 1;
}
