// Pure: finds the prose in a file of the checkout: comments, messages, names of tests, descriptions, pages.
import { parseSync, Visitor } from 'oxc-parser';
import type { TextKind } from './rules.ts';

export interface ProseText {
  readonly kind: TextKind;
  /** As long as its source, with markers replaced by blanks: offsets in it are offsets in the file. */
  readonly text: string;
  /** Offset in the file. */
  readonly start: number;
}

const CODE = /\.(?:ts|tsx|js|cjs|mjs)$/;
const SQL = /\b(?:SELECT|INSERT INTO|UPDATE \w+|DELETE FROM|CREATE (?:TABLE|INDEX|POLICY|ROLE|DATABASE)|ALTER|WHERE)\b/;
const TITLED = new Set(['describe', 'test', 'it', 'suite', 'bench']);

function blank(text: string): string {
  return text.replaceAll(/[^\n]/g, ' ');
}

/** Replaces what the pattern finds by as many characters. */
function replaceWithSame(text: string, pattern: RegExp, by: string): string {
  return text.replaceAll(pattern, (found: string) => found.replaceAll(/[^\n]/g, by));
}

/** A comment without the stars and slashes at the begins of its lines. */
function commentText(source: string): string {
  return source
    .replaceAll(/^(?:\/\*\*?|\/\/+)|\*\/$/g, blank)
    .replaceAll(/(?<=\n)\s*(?:\*(?!\*)|\/\/+)?/g, blank)
    .replaceAll(/`[^`\n]*`/g, (code) => 'X'.repeat(code.length))
    .replaceAll(/\n(?!\s*\n)/g, ' ');
}

function stringText(source: string): string {
  const inner = ` ${source.slice(1, -1)} `;
  return inner
    .replaceAll(/\\n/g, '\n\n')
    .replaceAll(/\\./g, (escape) => ` ${escape.slice(1)}`)
    .replaceAll(/`[^`\n]*`/g, (code) => 'X'.repeat(code.length));
}

function joinLineComments(
  comments: readonly { type: string; start: number; end: number }[],
  source: string,
): { start: number; end: number }[] {
  const joined: { type: string; start: number; end: number }[] = [];
  for (const comment of comments) {
    const last = joined.at(-1);
    const follows =
      last?.type === 'Line' && comment.type === 'Line' && /^\n[^\S\n]*$/.test(source.slice(last.end, comment.start));
    if (follows && last !== undefined) last.end = comment.end;
    else joined.push({ ...comment });
  }
  return joined;
}

function titleName(callee: unknown): string | null {
  let node = callee as { type?: string; name?: string; object?: unknown; callee?: unknown; tag?: unknown };
  for (let depth = 0; depth < 5 && node.type !== 'Identifier'; depth += 1) {
    const next = node.object ?? node.callee ?? node.tag;
    if (next === undefined) return null;
    node = next as typeof node;
  }
  return node.name ?? null;
}

function codeTexts(path: string, source: string): ProseText[] {
  const { program, comments } = parseSync(path, source);
  const texts: ProseText[] = joinLineComments(comments, source).map(({ start, end }) => ({
    kind: 'comment',
    start,
    text: commentText(source.slice(start, end)),
  }));
  const titles = new Set<number>();
  const add = (start: number, text: string): void => {
    const title = titles.has(start);
    if (!title && (!/\S\s+\S/.test(text) || SQL.test(text))) return;
    texts.push({ kind: title ? 'title' : 'string', start, text });
  };
  new Visitor({
    CallExpression(node) {
      const name = titleName(node.callee);
      const first = node.arguments[0];
      if (name !== null && TITLED.has(name) && first !== undefined && path.endsWith('.test.ts'))
        titles.add(first.start);
    },
    Literal(node) {
      if (typeof node.value === 'string') add(node.start, stringText(source.slice(node.start, node.end)));
    },
    TemplateLiteral(node) {
      let text = source.slice(node.start, node.end);
      for (const { start, end } of node.expressions) {
        const from = start - node.start - 2;
        const to = end - node.start + 1;
        text = `${text.slice(0, from)}${'X'.repeat(to - from)}${text.slice(to)}`;
      }
      add(node.start, stringText(text));
    },
    JSXText(node) {
      add(node.start, source.slice(node.start, node.end).replaceAll('\n', ' '));
    },
  }).visit(program);
  return texts;
}

/** A page without its code spans, its tables of examples (`instead of`) and the words that a glossary rejects. */
function markdownText(source: string): string {
  let text = source
    .replaceAll(/^- Not:.*(?:\n {2,}.*)*/gm, blank)
    .replaceAll(/^\|[^\n]*\binstead of\b[^\n]*\n(?:\|[^\n]*\n?)*/gim, blank);
  text = replaceWithSame(text, /(?<!`)`[^`\n]+`(?!`)/g, 'X');
  // Lines of one paragraph are one text; lists, tables, headings and blocks keep their lines.
  return text.replaceAll(/\n(?=[A-Za-z"'(*_[`])(?<=[^\n|]\n)/g, ' ');
}

function schemaTexts(source: string): ProseText[] {
  return [...source.matchAll(/"""([\s\S]*?)"""|"((?:[^"\\\n]|\\.)+)"/g)].map((match) => ({
    kind: 'description',
    start: match.index,
    text: match[0]
      .replaceAll(/"/g, ' ')
      .replaceAll(/`[^`\n]*`/g, (code) => 'X'.repeat(code.length))
      .replaceAll(/\n(?!\s*\n)/g, ' '),
  }));
}

/** All prose of one file. */
export function proseTexts(path: string, source: string): ProseText[] {
  if (CODE.test(path)) return codeTexts(path, source);
  if (path.endsWith('.graphql')) return schemaTexts(source);
  if (path.endsWith('.md')) return [{ kind: 'markdown', start: 0, text: markdownText(source) }];
  return [{ kind: 'plain', start: 0, text: source }];
}
