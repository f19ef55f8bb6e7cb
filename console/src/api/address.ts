// Pure: addresses below the path prefix of a proxy, computed from the base address of the page.

export interface Addresses {
  /** Path of the console without a slash at the end, such as `/billing/console`. */
  readonly basename: string;
  /** Path of the server with a slash at the end, such as `/billing/`. */
  readonly server: string;
}

/** `baseUri` is `document.baseURI`: the address of `/console/`, which the server inserts relative to that of the page. */
export function readAddresses(baseUri: string): Addresses {
  const { pathname } = new URL('.', baseUri);
  const basename = pathname.replace(/\/$/, '');
  return { basename, server: basename.replace(/[^/]*$/, '') };
}
