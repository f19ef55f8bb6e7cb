// Pure: plain text as Markdown.

/** Escapes the marks of Markdown, except those inside backticks. `_` within a name needs no escape. */
export function escapeMarkdown(text: string | null | undefined): string {
  return (text ?? '')
    .replaceAll(/`[^`]*`|[*<>[\]|]|(?<!\w)_|_(?!\w)/g, (found) => (found.startsWith('`') ? found : `\\${found}`))
    .replaceAll('\n', ' ');
}
