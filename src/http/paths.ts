// Pure: what stands in the URL of a request.

interface Asking {
  readonly url?: string | undefined;
}

/** Without the query. */
export const pathOf = ({ url = '/' }: Asking): string => url.split('?')[0] ?? '/';
