import { createContext, use } from 'react';
import type { Addresses } from './address.ts';
import type { Session } from './session.ts';

export interface SessionParts {
  readonly session: Session;
  readonly addresses: Addresses;
}

export const SessionContext = createContext<SessionParts | null>(null);

/** Returns the session, for example to sign out, and the addresses of the server. */
export function useSession(): SessionParts {
  const parts = use(SessionContext);
  if (parts === null) throw new Error('useSession() is called outside of a session.');
  return parts;
}
