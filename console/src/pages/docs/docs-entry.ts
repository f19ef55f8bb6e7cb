export interface DocsHeading {
  readonly id: string;
  /** 2 or 3. */
  readonly level: number;
  readonly text: string;
}

/** An entry of the outline: what the list and the search need before a page is loaded. */
export interface DocsEntry {
  /** Address below `docs/` in the console; empty for the index. */
  readonly path: string;
  readonly title: string;
  /** The heading of the index that lists the page, such as `How-to guides`; empty if the index does not list it. */
  readonly section: string;
  /** Headings of the second and third level. */
  readonly headings: readonly DocsHeading[];
}
