// Pure: words that are no Markdown, as Markdown.

/** Marks in words that are none: only what stands between backticks is meant as one, and `_` within a name marks nothing. */
export const plainWords = (text: string | null | undefined): string =>
  (text ?? '')
    .replaceAll(/`[^`]*`|[*<>[\]|]|(?<!\w)_|_(?!\w)/g, (found) => (found.startsWith('`') ? found : `\\${found}`))
    .replaceAll('\n', ' ');
