// Pure: what each scope of a key allows.

export const SCOPES = [
  { scope: 'INGEST', allows: 'Write records, and read the receipts of the writes.' },
  { scope: 'READ', allows: 'Read records, usage, jobs and runs.' },
  { scope: 'JOBS', allows: 'Create, change, check and run jobs. Includes READ.' },
  { scope: 'ADMIN', allows: 'Manage keys and delete streams. Includes all other scopes.' },
] as const;

export type ScopeName = (typeof SCOPES)[number]['scope'];

/** Returns what a key with these scopes can no longer do after it is revoked. */
export function describeScopes(scopes: readonly ScopeName[]): string[] {
  return SCOPES.filter(({ scope }) => scopes.includes(scope)).map(({ allows }) => allows);
}
