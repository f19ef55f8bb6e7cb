import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ROOT } from '../support/source-files.ts';

const readme = await readFile(join(ROOT, 'README.md'), 'utf8');

test('README > has at most 180 lines and about 900 words outside of its blocks', () => {
  expect(readme.split('\n').length).toBeLessThanOrEqual(180);
  const prose = readme.replaceAll(/^```[\s\S]*?^```$|^<!--.*-->$/gm, '').replaceAll(/\]\([^)]*\)/g, ']');
  expect(prose.split(/\s+/).filter((word) => /\w/.test(word)).length).toBeLessThanOrEqual(950);
  expect(readme).not.toContain('npm run sluice');
});
