// Pure: scopes, the permissions of an API key.

export const SCOPES = ['READ', 'INGEST', 'JOBS', 'ADMIN'] as const;
export type Scope = (typeof SCOPES)[number];

const IMPLIED: Record<Scope, readonly Scope[]> = {
  READ: ['READ'],
  INGEST: ['INGEST'],
  JOBS: ['JOBS', 'READ'],
  ADMIN: ['ADMIN', 'JOBS', 'INGEST', 'READ'],
};

export const isScope = (text: string): text is Scope => (SCOPES as readonly string[]).includes(text);

/** Returns the granted scopes with those that they include. */
export function expandScopes(granted: readonly string[]): ReadonlySet<Scope> {
  return new Set(granted.filter(isScope).flatMap((scope) => IMPLIED[scope]));
}

/** Whether one of the granted scopes is this one or includes it. */
export function allows(granted: readonly string[], scope: Scope): boolean {
  return granted.some((one) => isScope(one) && IMPLIED[one].includes(scope));
}
