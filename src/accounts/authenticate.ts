import { LRUCache } from 'lru-cache';
import pLimit from 'p-limit';
import type { Db } from '../db/client.ts';
import { OverloadedError } from '../errors/errors.ts';
import type { Clock } from '../lib/clock.ts';
import { findPrincipal, recordKeyUse, type Principal } from './keys.ts';
import { canBeSecret, hashSecret } from './secrets.ts';

export interface Authenticator {
  /** Null if it is not a valid key. Throws OverloadedError if too many unknown keys wait for their look-up. */
  authenticate(secret: string): Promise<Principal | null>;
}

/**
 * Less than half of the second within which every server must reject a revoked key. A busy key causes two or three look-ups per
 * second instead of one per request or check of an open subscription.
 */
const REMEMBER_MS = 400;
const MAX_CACHED_KEYS = 10_000;
/** Any client can send unknown keys, so their look-ups use two connections at most. */
const UNKNOWN_AT_ONCE = 2;
const MAX_UNKNOWN_WAITING = 500;
const RETRY_AFTER_SECONDS = 1;

interface LookUp {
  /** Time until which the result is valid. */
  until: number;
  readonly principal: Promise<Principal | null>;
}

export function createAuthenticator(db: Db, clock: Clock, onBackgroundError: (error: unknown) => void): Authenticator {
  /** Keys that were valid at their last look-up. Unknown keys can neither delay nor evict them. */
  const valid = new LRUCache<string, LookUp>({ max: MAX_CACHED_KEYS });
  const unknown = new LRUCache<string, LookUp>({ max: MAX_CACHED_KEYS });
  const limitUnknown = pLimit(UNKNOWN_AT_ONCE);

  const lookUp = async (secret: string): Promise<Principal | null> => {
    const principal = await findPrincipal(db, secret);
    const now = clock.now();
    if (principal && now.getTime() - (principal.key.lastUsedAt?.getTime() ?? 0) > 60_000) {
      // Not awaited, so that recording the last use neither delays nor fails a request.
      recordKeyUse(db, principal.key, now).catch(onBackgroundError);
    }
    return principal;
  };

  /** Looks up a key that was valid before. */
  const lookUpAgain = (secret: string, id: string): Promise<Principal | null> => {
    const principal = lookUp(secret);
    const entry: LookUp = { until: performance.now() + REMEMBER_MS, principal };
    valid.set(id, entry);
    principal.then(
      (found) => {
        if (!found && valid.get(id) === entry) valid.delete(id);
      },
      // A failed look-up must not be reused.
      () => {
        entry.until = 0;
      },
    );
    return principal;
  };

  const lookUpUnknown = (secret: string, id: string): Promise<Principal | null> => {
    if (limitUnknown.pendingCount >= MAX_UNKNOWN_WAITING) {
      const message = 'Too many unknown keys are being looked up. Retry in a second.';
      return Promise.reject(new OverloadedError(message, RETRY_AFTER_SECONDS));
    }
    let startedAt = 0;
    const principal = limitUnknown(() => {
      startedAt = performance.now();
      return lookUp(secret);
    });
    // Infinity while the look-up waits, so that the same key is not looked up twice.
    const entry: LookUp = { until: Infinity, principal };
    unknown.set(id, entry);
    principal.then(
      (found) => {
        entry.until = startedAt + REMEMBER_MS;
        if (!found) return;
        unknown.delete(id);
        valid.set(id, entry);
      },
      () => unknown.delete(id),
    );
    return principal;
  };

  return {
    authenticate(secret) {
      if (!canBeSecret(secret)) return Promise.resolve(null);
      // The cache key is a hash, so that the secret itself does not remain in memory.
      const id = hashSecret(secret).toString('base64');
      const known = valid.get(id) ?? unknown.get(id);
      if (known && known.until > performance.now()) return known.principal;
      return valid.has(id) ? lookUpAgain(secret, id) : lookUpUnknown(secret, id);
    },
  };
}
