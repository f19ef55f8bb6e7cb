import type { DocsEntry, DocsHeading } from './docs-entry.ts';

// Pure: the search of the documentation.

export interface DocsHit {
  readonly path: string;
  readonly title: string;
  readonly section: string;
  /** Headings that contain a word of the search. */
  readonly headings: readonly DocsHeading[];
  /** The part of the text around the first word; null if title and headings contain all words. */
  readonly excerpt: string | null;
}

/** Characters of an excerpt before and after the word. */
const AROUND = 80;

/**
 * Returns the pages that contain all words: first those with all of them in the title, then in title and headings, then in the text.
 *
 * @param texts of the pages by path; pages without one are found by title and headings
 */
export function searchDocs(
  outline: readonly DocsEntry[],
  search: string,
  texts: ReadonlyMap<string, string> = new Map(),
): DocsHit[] {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const has = (text: string, word: string): boolean => text.toLowerCase().includes(word);
  return outline
    .flatMap(({ path, title, section, headings }) => {
      const found = headings.filter(({ text }) => words.some((word) => has(text, word)));
      const text = texts.get(path) ?? '';
      const isInHeadings = (word: string): boolean =>
        has(title, word) || found.some((heading) => has(heading.text, word));
      const rank = words.every((word) => has(title, word))
        ? 0
        : words.every(isInHeadings)
          ? 1
          : words.every((word) => isInHeadings(word) || has(text, word))
            ? 2
            : null;
      if (rank === null) return [];
      const excerpt = rank === 2 ? excerptOf(text, words) : null;
      return [{ rank, hit: { path, title, section, headings: found, excerpt } }];
    })
    .sort((one, other) => one.rank - other.rank)
    .map(({ hit }) => hit);
}

function excerptOf(text: string, words: readonly string[]): string {
  const lower = text.toLowerCase();
  const at = Math.min(...words.map((word) => lower.indexOf(word)).filter((index) => index !== -1));
  const [start, end] = [Math.max(0, at - AROUND), Math.min(text.length, at + AROUND)];
  return `${start > 0 ? '… ' : ''}${text.slice(start, end).trim()}${end < text.length ? ' …' : ''}`;
}
