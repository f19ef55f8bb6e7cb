import { createContext, use } from 'react';
import type { ResultOf } from './graphql.ts';
import { textOf } from './sent-text.ts';
import { VIEWER } from './viewer-documents.ts';

export type Viewer = ResultOf<typeof VIEWER>['viewer'];
export type Scope = Viewer['key']['scopes'][number];

/** Answer to the question whose key it is. */
export type KeyCheck =
  | { readonly kind: 'accepted'; readonly viewer: Viewer }
  | { readonly kind: 'refused' }
  | { readonly kind: 'unavailable'; readonly message: string };

/** Asks the server whose key it is. */
export async function checkKey(endpoint: string, key: string): Promise<KeyCheck> {
  try {
    const response = await fetch(endpoint, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/json', 'x-api-key': key },
      body: JSON.stringify({ query: textOf(VIEWER) }),
    });
    if (response.status === 401) return { kind: 'refused' };
    const { data, errors } = (await response.json()) as {
      data?: ResultOf<typeof VIEWER>;
      errors?: { message: string }[];
    };
    if (data?.viewer) return { kind: 'accepted', viewer: data.viewer };
    return { kind: 'unavailable', message: errors?.[0]?.message ?? `The server answered ${response.status}.` };
  } catch (error) {
    // A header cannot contain every character: then fetch() fails before anything is sent.
    if (/[^\x20-\xff]/.test(key)) return { kind: 'refused' };
    return {
      kind: 'unavailable',
      message: error instanceof SyntaxError ? 'The server sent no JSON.' : 'The server cannot be reached.',
    };
  }
}

export const ViewerContext = createContext<Viewer | null>(null);

/** Returns the account and the key of the session. */
export function useViewer(): Viewer {
  const viewer = use(ViewerContext);
  if (viewer === null) throw new Error('useViewer() is called outside of a session.');
  return viewer;
}

const INCLUDED: Readonly<Record<Scope, readonly Scope[]>> = {
  ADMIN: ['ADMIN', 'JOBS', 'READ', 'INGEST'],
  JOBS: ['JOBS', 'READ'],
  READ: ['READ'],
  INGEST: ['INGEST'],
};

/** Returns whether the key of the session has a scope, directly or through one that includes it. Offer nothing that it does not allow. */
export function useCan(scope: Scope): boolean {
  return useViewer().key.scopes.some((own) => INCLUDED[own].includes(scope));
}
