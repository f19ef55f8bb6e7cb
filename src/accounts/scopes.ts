// Pure: what a key may do.

export const SCOPES = ['READ', 'INGEST', 'JOBS', 'ADMIN'] as const;
export type Scope = (typeof SCOPES)[number];

const IMPLIED: Record<Scope, readonly Scope[]> = {
  READ: ['READ'],
  INGEST: ['INGEST'],
  JOBS: ['JOBS', 'READ'],
  ADMIN: ['ADMIN', 'JOBS', 'INGEST', 'READ'],
};

export const isScope = (text: string): text is Scope => (SCOPES as readonly string[]).includes(text);

/** The scopes granted, with those that they imply. */
export const expandScopes = (granted: readonly string[]): ReadonlySet<Scope> =>
  new Set(granted.filter(isScope).flatMap((scope) => IMPLIED[scope]));

/** Whether one of the scopes granted is this one, or implies it. */
export const allows = (granted: readonly string[], scope: Scope): boolean =>
  granted.some((one) => isScope(one) && IMPLIED[one].includes(scope));
