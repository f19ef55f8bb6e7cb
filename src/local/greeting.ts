// Pure: what local mode says when it is up.

interface Announced {
  /** Base URL of the server, for example http://127.0.0.1:4000. */
  readonly url: string;
  /** Null if the key was revoked: then only its owner knows another. */
  readonly apiKey: string | null;
  /** Whether a person reads the output in a terminal. Journals, container logs and pipes must not contain a key. */
  readonly terminal: boolean;
}

export interface Greeting extends Announced {
  /** Whether browsers get GraphiQL. */
  readonly graphiql: boolean;
  /** Whether browsers get the console. */
  readonly console: boolean;
  /** The file that contains the key; null if the key is that of the setting API_KEY. */
  readonly keyFile: string | null;
  readonly dataDirectory: string;
  /** Contains a folder for each bucket, with its objects as files. */
  readonly filesDirectory: string;
}

/** Browsers refuse to open the addresses that mean all interfaces. */
const openable = (url: string): string => url.replace('//0.0.0.0:', '//127.0.0.1:').replace('//[::]:', '//[::1]:');

/**
 * Returns the address of the console, or of GraphiQL if its path is given. The key is in the fragment, which browsers do not send to
 * the server. The page removes it from the address.
 */
export function linkWithKey({ url, apiKey, terminal }: Announced, path = '/'): string {
  return `${openable(url)}${path}${terminal && apiKey !== null ? `#key=${encodeURIComponent(apiKey)}` : ''}`;
}

/** Returns the lines that name the pages for browsers. Only the first has the key, which both share. */
export function listPages(announced: Announced & { readonly graphiql: boolean; readonly console: boolean }): string[] {
  const { graphiql, console } = announced;
  return [
    ...(console ? [`Console   ${linkWithKey(announced)}`] : []),
    ...(graphiql
      ? [`GraphiQL  ${linkWithKey({ ...announced, terminal: announced.terminal && !console }, '/graphql')}`]
      : []),
  ];
}

function keyWords({ apiKey, keyFile }: Greeting): string {
  if (apiKey === null) return 'revoked: use another key of yours';
  return keyFile === null ? 'that of the setting API_KEY' : `in ${keyFile}`;
}

export function greeting(announced: Greeting): string {
  const pages = listPages(announced);
  return [
    '',
    '  Sluice runs in local mode, with a database and an S3 of its own.',
    '',
    ...(pages.length > 0 ? pages : [`API       ${announced.url}/graphql`]).map((line) => `  ${line}`),
    `  Key       ${keyWords(announced)}`,
    `  Data      ${announced.dataDirectory}`,
    `  Files     ${announced.filesDirectory}/BUCKET/KEY`,
    '  Stop      Ctrl-C; the next start finds the same data and key',
    '',
    '',
  ].join('\n');
}
