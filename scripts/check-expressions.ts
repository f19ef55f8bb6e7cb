/** Refuses regular expressions in src/ whose time grows faster than their input, and those that cannot be checked. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseSync, Visitor } from 'oxc-parser';
import { checkSync } from 'recheck';

const SOURCES = join(import.meta.dirname, '../src');

/** By file and source text, with the reason why it is fine. */
const SEEN_BY_HAND: readonly (readonly [place: string, reason: string])[] = [
  [
    'cli/ingest/date-format.ts: new RegExp(',
    'parts of fixed length out of --date-format, for cells that are bounded first',
  ],
  ['jobs/settings-schema.ts: /^[A-Za-z0-9.!#', 'an address, of which 254 characters at most are matched'],
  ['local/postgres/postgres-orphans.ts: new RegExp(', 'matched against the command lines of processes on this machine'],
];

interface Expression {
  readonly place: string;
  readonly line: number;
  /** Null for one that is made while the program runs. */
  readonly literal: { readonly pattern: string; readonly flags: string } | null;
}

function expressionsIn(path: string, text: string): Expression[] {
  const { program, errors } = parseSync(path, text);
  if (errors.length > 0) throw new Error(`${path} cannot be parsed: ${errors[0]?.message}`);
  const found: Expression[] = [];
  const add = ({ start, end }: { start: number; end: number }, literal: Expression['literal']): void => {
    const line = text.slice(0, start).split('\n').length;
    found.push({ place: `${path}: ${text.slice(start, end)}`, line, literal });
  };
  const construct = (node: { start: number; end: number; callee: object }): void => {
    if ('name' in node.callee && node.callee.name === 'RegExp') add(node, null);
  };
  new Visitor({
    Literal: (node) => {
      if ('regex' in node) add(node, node.regex);
    },
    NewExpression: construct,
    CallExpression: construct,
  }).visit(program);
  return found;
}

function problemOf({ literal }: Expression): string | null {
  if (!literal) return 'is made while the program runs';
  const result = checkSync(literal.pattern, literal.flags, { timeout: 20_000, randomSeed: 1 });
  if (result.status === 'safe') return null;
  if (result.status === 'unknown') return `cannot be checked (${result.error.kind})`;
  return `takes ${result.complexity.summary} time, as for ${result.attack.pattern}`;
}

const files = (await readdir(SOURCES, { recursive: true })).filter((name) => name.endsWith('.ts')).toSorted();
const expressions: Expression[] = [];
for (const name of files) expressions.push(...expressionsIn(name, await readFile(join(SOURCES, name), 'utf8')));
if (expressions.length < 50)
  throw new Error(`Only ${expressions.length} regular expressions were found in ${SOURCES}.`);

const unused = new Set(SEEN_BY_HAND.map(([place]) => place));
const problems: string[] = [];
for (const expression of expressions) {
  const known = SEEN_BY_HAND.find(([place]) => expression.place.startsWith(place));
  if (known) unused.delete(known[0]);
  const problem = known ? null : problemOf(expression);
  if (problem !== null) problems.push(`src/${expression.place} (line ${expression.line}) ${problem}`);
}
for (const place of unused) problems.push(`${place} is listed as checked manually, but does not exist`);
for (const problem of problems) console.error(problem);
console.log(`${expressions.length} regular expressions were checked; ${problems.length} problems.`);
process.exitCode = problems.length === 0 ? 0 : 1;
