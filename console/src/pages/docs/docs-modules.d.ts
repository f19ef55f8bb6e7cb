/** The documentation, rendered by the build: see docs-plugin.ts. */
declare module 'virtual:docs' {
  /** All pages, in the order of their paths. */
  export const OUTLINE: readonly import('./docs-entry.ts').DocsEntry[];
  /** Loads a page by its path. */
  export const PAGES: Readonly<Record<string, () => Promise<{ readonly html: string }>>>;
}
