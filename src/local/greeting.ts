// Pure: what local mode says when it is up.

export interface Greeting {
  /** Of the server, e.g. http://127.0.0.1:4000. */
  readonly url: string;
  /** Null where the key was revoked: then nobody but its owner knows another. */
  readonly apiKey: string | null;
  readonly dataDirectory: string;
  /** Where the objects of the buckets lie, each as a file. */
  readonly filesDirectory: string;
}

export const greeting = ({ url, apiKey, dataDirectory, filesDirectory }: Greeting): string =>
  [
    '',
    '  Sluice runs in local mode, with a database and an S3 of its own.',
    '',
    `  GraphiQL  ${url}/graphql`,
    `  Key       ${apiKey ?? 'the one of this start was revoked: use another of yours'}`,
    `  Data      ${dataDirectory}`,
    `  Files     ${filesDirectory}/BUCKET/KEY`,
    '  Stop      Ctrl-C; the next start finds the same data and key',
    '',
    '',
  ].join('\n');
