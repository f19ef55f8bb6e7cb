// Pure: classifies errors of the database by SQLSTATE or the system's error code, and by message if they have no code.

/**
 * Connection failures (08), too few resources (53), shutdown and start-up (57P), a connection closed as idle (25P03); errors of new
 * connections alone: a refused login (28), a missing database (3D) or one that accepts no connections at present (55000); a
 * transaction that a default of the server ended before its own limit was set (25P04); a lock that was not acquired in time
 * (55P03); and an I/O error, which a distributed database also reports for a node that crashes (58030).
 */
const UNAVAILABLE_CLASSES = ['08', '53', '57P', '25P03', '25P04', '28', '3D', '55000', '55P03', '58030'];
const UNAVAILABLE_CODES = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'CONNECTION_ENDED',
  // The server's certificate is not accepted.
  'CERT_HAS_EXPIRED',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'ERR_TLS_CERT_ALTNAME_INVALID',
]);
/** pg has no codes for these. */
const UNAVAILABLE_MESSAGES = [
  'Connection terminated',
  'timeout exceeded when trying to connect',
  'Client has encountered a connection error',
  'Client was closed',
  'Cannot use a pool after calling end',
];

/**
 * Messages of the coordinator of a distributed database if a node ended in the middle of a statement. They come from libpq, or from
 * Citus for a COMMIT whose outcome is not known, with the SQLSTATE of an internal error, because the node sent none.
 */
const INTERNAL_ERROR = 'XX000';
const LOST_NODE =
  /^(?:server closed the connection|SSL SYSCALL error|SSL connection has been closed|could not (?:receive|send) data|connection not open|no connection to the server|lost synchronization with server|could not commit transaction for shard|failure on connection marked as essential)/;

const walkCauses = function* (error: unknown): Generator<Error> {
  for (let at = error; at instanceof Error; at = at.cause) yield at;
};

/** Returns the first error of the class among the error and its causes, or null. */
export function findCause<Failure extends Error>(
  error: unknown,
  ofClass: abstract new (...args: never[]) => Failure,
): Failure | null {
  for (const cause of walkCauses(error)) if (cause instanceof ofClass) return cause;
  return null;
}

/** Returns the SQLSTATE of a database error. Drizzle wraps the error in another one, whose message contains SQL and values. */
export function sqlState(error: unknown): string | null {
  for (const cause of walkCauses(error)) {
    if ('code' in cause && typeof cause.code === 'string' && /^[0-9A-Z]{5}$/.test(cause.code)) return cause.code;
  }
  return null;
}

/** Whether the database is unreachable, starting, stopping or out of resources, so that a retry may succeed. */
export function isUnavailable(error: unknown): boolean {
  for (const cause of walkCauses(error)) {
    if ('code' in cause && typeof cause.code === 'string') {
      const code = cause.code;
      if (code === INTERNAL_ERROR && LOST_NODE.test(cause.message)) return true;
      if (UNAVAILABLE_CODES.has(code) || UNAVAILABLE_CLASSES.some((prefix) => code.startsWith(prefix))) return true;
    }
    if (UNAVAILABLE_MESSAGES.some((message) => cause.message.startsWith(message))) return true;
  }
  return false;
}

/** Whether a timeout or an operator canceled the statement. */
export const isCanceled = (error: unknown): boolean => sqlState(error) === '57014';

/** Whether a statement waited for a lock for longer than its lock_timeout. */
export const isLockTimeout = (error: unknown): boolean => sqlState(error) === '55P03';

/**
 * Whether PostgreSQL rolled the transaction back because of others: a serialization failure (40001, also a conflict of a standby
 * with the changes that it replays) or a deadlock (40P01). A retry may succeed.
 */
export const isConflict = (error: unknown): boolean => sqlState(error)?.startsWith('40') === true;
