import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { createProgram } from '../../src/cli/program.ts';
import { bucketPolicy } from '../../src/exports/bucket-policy.ts';
import { ROOT } from '../support/source-files.ts';
import { arrowsOf, POSSIBLE_ARROWS } from './run-arrows.ts';

const readme = await readFile(join(ROOT, 'README.md'), 'utf8');

/** The blocks of one language below the heading. */
const blocksBelow = (heading: string, language: string): string[] => {
  const section = readme.split(/^#+ /m).find((part) => part.startsWith(`${heading}\n`)) ?? '';
  return [...section.matchAll(new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``, 'g'))].map((match) => match[1] ?? '');
};

test('every command of the operator stands in the README, as it can be typed', () => {
  const plain = { isTerminal: false, columns: null, paint: (_: unknown, text: string) => text };
  const program = createProgram({
    env: {},
    terminal: { answer: () => {}, say: () => {}, answers: plain },
    log: { debug: () => {}, warn: () => {}, error: () => {} },
    onBroken: () => {},
    onInterrupted: () => {},
  });
  const typed = program.commands.flatMap((command) =>
    (command.commands.length === 0 ? [''] : command.commands.map((sub) => ` ${sub.name()}`)).map(
      (sub) => `npm run -s sluice -- ${command.name()}${sub}`,
    ),
  );
  const shown = blocksBelow('In production', 'sh').join('').split('\n');
  expect(typed.filter((command) => !shown.some((line) => line.startsWith(command)))).toEqual([]);
  expect(typed).toHaveLength(15);
  expect(readme).not.toContain('npm run sluice');
});

test('the bucket policy in the README is the one that the API gives', () => {
  const [policy] = blocksBelow('The bucket policy', 'json');
  expect(JSON.parse(policy ?? '')).toEqual(
    JSON.parse(
      bucketPolicy({
        bucket: 'customer-bucket',
        path: 'usage',
        principalArn: 'arn:aws:iam::123456789012:role/sluice',
      }),
    ),
  );
});

test('the arrows in the README are those of the table of transitions', () => {
  const [diagram] = blocksBelow('The life of a run', 'mermaid');
  expect(arrowsOf(diagram ?? '')).toEqual(POSSIBLE_ARROWS);
  expect(POSSIBLE_ARROWS.size).toBeGreaterThan(5);
});
