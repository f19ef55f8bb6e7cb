import { posix } from 'node:path';
import { Marked, type Token, type Tokens } from 'marked';
import type { DocsHeading } from './src/pages/docs/docs-entry.ts';

// Pure: renders the Markdown pages of docs/ as HTML for the console.

/** A rendered page. */
export interface DocsPage {
  readonly title: string;
  /** Without the title. */
  readonly html: string;
  /** Headings of the second and third level. */
  readonly headings: readonly DocsHeading[];
}

const COPY = '<button type="button" class="docs-copy" aria-live="polite">Copy</button>';

/** Whether readers use the block: the blocks of language `text` show what a program prints. */
function isCopied(language: string): boolean {
  return language !== '' && language !== 'text';
}

/** Returns the address of a file below docs/: `how-to/upgrade.md` is `how-to/upgrade`, and a README is the page of its folder. */
export function addressOf(file: string): string {
  return file.replace(/(?:^|\/)README\.md$/, '').replace(/\.md$/, '');
}

/** Renders a page. `files` are the paths of all pages below docs/: links to other files become text. */
export function renderDocsPage(file: string, markdown: string, files: ReadonlySet<string>): DocsPage {
  const taken = new Map<string, number>();
  const headings: DocsHeading[] = [];
  let title = '';
  const marked = new Marked({
    renderer: {
      heading({ tokens, depth }: Tokens.Heading) {
        const text = plainText(tokens);
        const id = uniqueId(text, taken);
        if (depth === 1) {
          title = text;
          return '';
        }
        if (depth <= 3) headings.push({ id, level: depth, text });
        return `<h${depth} id="${id}" tabindex="-1">${this.parser.parseInline(tokens)}</h${depth}>\n`;
      },
      link({ href, tokens }: Tokens.Link) {
        const text = this.parser.parseInline(tokens);
        const target = resolveLink(file, href, files);
        return target === null ? text : `<a href="${escapeHtml(target)}">${text}</a>`;
      },
      // Pictures are not part of the build: most of them show the console.
      image: () => '',
      // Comments are for those who edit the page.
      html: ({ text }) => (text.startsWith('<!--') ? '' : text),
      paragraph({ tokens }: Tokens.Paragraph) {
        const html = this.parser.parseInline(tokens);
        return html === '' ? '' : `<p>${html}</p>\n`;
      },
      code: ({ text, lang = '' }) =>
        `<div class="block"><pre tabindex="0"><code>${escapeHtml(text)}</code></pre>${isCopied(lang) ? COPY : ''}</div>\n`,
      table(token: Tokens.Table) {
        const cell = (of: 'th' | 'td', { tokens, align }: Tokens.TableCell): string =>
          `<${of}${align === 'right' ? ' data-figure="true"' : ''}>${this.parser.parseInline(tokens)}</${of}>`;
        const head = token.header.map((each) => cell('th', each)).join('');
        const rows = token.rows.map((row) => `<tr>${row.map((each) => cell('td', each)).join('')}</tr>`).join('\n');
        return `<div class="wide" tabindex="0"><table><thead><tr>${head}</tr></thead><tbody>${rows}</tbody></table></div>\n`;
      },
    },
  });
  const html = marked.parse(markdown, { async: false });
  return { title, html, headings };
}

/** Returns the sections of the index by the address of the page that each of them lists. */
export function sectionsOf(index: string): ReadonlyMap<string, string> {
  const sections = new Map<string, string>();
  let section = '';
  for (const line of index.split('\n')) {
    if (line.startsWith('## ')) section = line.slice(3);
    for (const [, href = ''] of line.matchAll(/\]\(([^)#]+\.md)\)/g)) sections.set(addressOf(href), section);
  }
  return sections;
}

/** The address of a link in the console: relative to its base address for other pages. Null if the page is not in the console. */
function resolveLink(file: string, href: string, files: ReadonlySet<string>): string | null {
  if (/^https?:/.test(href)) return href;
  const [path = '', fragment] = href.split('#');
  const target = path === '' ? file : posix.join(posix.dirname(file), path);
  if (!files.has(target)) return null;
  const address = posix.join('docs', addressOf(target));
  return fragment === undefined ? address : `${address}#${fragment}`;
}

/** The id that GitHub gives to a heading: the text in lower case without punctuation, and a number if it is taken. */
function uniqueId(text: string, taken: Map<string, number>): string {
  const id = text
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\p{M}\p{Pc} -]/gu, '')
    .replaceAll(' ', '-');
  const count = taken.get(id) ?? 0;
  taken.set(id, count + 1);
  return count === 0 ? id : `${id}-${count}`;
}

function plainText(tokens: readonly Token[]): string {
  return tokens
    .map((token) => ('tokens' in token && token.tokens ? plainText(token.tokens) : 'text' in token ? token.text : ''))
    .join('');
}

function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&#34;');
}
