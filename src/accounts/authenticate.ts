import type { Db } from '../db/client.ts';
import type { Clock } from '../lib/clock.ts';
import { findPrincipal, noteUse, type Principal } from './keys.ts';
import { hashSecret, isWellFormed } from './secrets.ts';

export interface Authenticator {
  /** Null for what is no valid key. */
  authenticate(secret: string): Promise<Principal | null>;
}

/**
 * Less than half of the second within which a revoked key must have stopped everywhere: a busy key costs two or three
 * look-ups a second instead of one a request, and open subscriptions can ask as often as they like.
 */
const REMEMBER_MS = 400;
const MAX_REMEMBERED = 10_000;

export const createAuthenticator = (
  db: Db,
  clock: Clock,
  onBackgroundError: (error: unknown) => void,
): Authenticator => {
  const remembered = new Map<string, { readonly until: number; readonly principal: Promise<Principal | null> }>();

  const lookUp = async (secret: string): Promise<Principal | null> => {
    const principal = await findPrincipal(db, secret);
    const now = clock.now();
    if (principal && now.getTime() - (principal.key.lastUsedAt?.getTime() ?? 0) > 60_000) {
      // Not awaited: when a key was last used is worth no wait, and no failed request.
      noteUse(db, principal.key, now).catch(onBackgroundError);
    }
    return principal;
  };

  return {
    authenticate(secret) {
      if (secret.length === 0 || secret.length > 1000 || !isWellFormed(secret)) return Promise.resolve(null);
      // By hash, so that the secret itself does not lie about in memory.
      const id = hashSecret(secret).toString('base64');
      const now = performance.now();
      const known = remembered.get(id);
      if (known && known.until > now) return known.principal;
      if (remembered.size >= MAX_REMEMBERED) remembered.clear();
      const principal = lookUp(secret);
      remembered.set(id, { until: now + REMEMBER_MS, principal });
      // A failed look-up must not be the answer of the next half second.
      principal.catch(() => remembered.delete(id));
      return principal;
    },
  };
};
