// Pure: formats the error of a start or a command as one message for the terminal, without a stack and without the statements,
// values and passwords that drivers quote.
import { ConfigError } from '../config/config.ts';
import type { DatabaseAddress } from '../db/database-address.ts';
import { isUnavailable, sqlState } from '../db/failures.ts';
import { UserError, ValidationError } from '../errors/errors.ts';

/** Names of errors whose messages are written for the terminal. */
const PLAIN_ERRORS = new Set([
  'DataDirectoryHeldError',
  'DataDirectoryUnusableError',
  'ListenError',
  'PostgresMissingError',
  'ApiError',
  'CommandError',
  'UnreachableError',
  'TrustedDocumentsError',
  'PoolerError',
  'TlsParameterError',
]);

const REFUSED_PASSWORD = '28P01';

const BY_SQL_STATE: Readonly<Record<string, string>> = {
  '28P01': 'The database rejects the password in DATABASE_URL.',
  '28000':
    'The database rejects the user in DATABASE_URL, or a connection without TLS. In the second case set sslmode=require or stricter in it.',
  '3D000': 'The database in DATABASE_URL does not exist. Create it, or correct the name.',
  '08P01':
    'The database address leads to a connection pooler that refuses start-up parameters. Set DATABASE_DIRECT_URL to the address of PostgreSQL itself.',
  '42501': 'The user in DATABASE_URL lacks privileges that this needs in the database.',
  '42P01': "The database does not have Sluice's tables, or has old ones: run `npm run -s sluice -- migrate`.",
  '42703': "The database does not have Sluice's tables, or has old ones: run `npm run -s sluice -- migrate`.",
  '3F000': "The database does not have Sluice's tables, or has old ones: run `npm run -s sluice -- migrate`.",
  '53300': 'The database has no connection left: raise its max_connections, or lower DATABASE_POOL.',
  '57P03': 'The database is starting or stopping. Try again in a few seconds.',
};

const UNKNOWN_AUTHORITY =
  'The certificate of the database server is self-signed, or of an authority that is not known here: set sslrootcert=/path/to/ca.crt in DATABASE_URL to the certificate of that authority (or of the server, if it is self-signed), or sslmode=require to encrypt without verifying the server.';

/** By Node's error codes for certificates. */
const BY_CODE: Readonly<Record<string, string>> = {
  DEPTH_ZERO_SELF_SIGNED_CERT: UNKNOWN_AUTHORITY,
  SELF_SIGNED_CERT_IN_CHAIN: UNKNOWN_AUTHORITY,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: UNKNOWN_AUTHORITY,
  UNABLE_TO_GET_ISSUER_CERT: UNKNOWN_AUTHORITY,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: UNKNOWN_AUTHORITY,
  CERT_HAS_EXPIRED: 'The certificate of the database server has expired.',
  ERR_TLS_CERT_ALTNAME_INVALID:
    'The certificate of the database server is for another host: use the name that it was made for in DATABASE_URL, or sslmode=verify-ca to verify its authority alone.',
};

const NO_PASSWORD =
  'The database asks for a password, and DATABASE_URL has none: add it there, or set PGPASSWORD or a .pgpass file.';

/** Errors of pg without codes, by a part of their messages. */
const BY_MESSAGE: readonly (readonly [part: string, words: string])[] = [
  ['client password must be', NO_PASSWORD],
  [
    'The server does not support SSL connections',
    'The database server does not support TLS: switch it on there (ssl = on), or set sslmode=disable in DATABASE_URL.',
  ],
];

/**
 * Returns the message, or null if the error is unexpected and belongs in the log.
 *
 * @param address of DATABASE_URL; null in local mode
 */
export function formatStartupError(error: unknown, address: DatabaseAddress | null = null): string | null {
  if (!(error instanceof Error)) return null;
  if (error instanceof ValidationError) return error.issues.map((issue) => issue.message).join('\n');
  if (error instanceof ConfigError || error instanceof UserError || PLAIN_ERRORS.has(error.name)) return error.message;
  const state = sqlState(error);
  if (state === REFUSED_PASSWORD && address?.hasPassword === false) return NO_PASSWORD;
  const known = (state === null ? undefined : BY_SQL_STATE[state]) ?? BY_CODE[findErrorCode(error)];
  if (known !== undefined) return known;
  const recognized = BY_MESSAGE.find(([part]) => error.message.includes(part) || causeMessage(error).includes(part));
  if (recognized) return recognized[1];
  if (!isUnavailable(error)) return null;
  return address === null
    ? `The database cannot be reached (${findErrorCode(error)}).`
    : `The database ${address.database} on ${address.host}:${address.port} cannot be reached (${findErrorCode(error)}). Is DATABASE_URL right?`;
}

const causeMessage = ({ cause }: Error): string => (cause instanceof Error ? cause.message : '');

/** Returns the system's code, such as ECONNREFUSED. For a host with several addresses it is the code of the first. */
function findErrorCode(error: Error): string {
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    if ('code' in at && typeof at.code === 'string') return at.code;
    if (at instanceof AggregateError && at.errors[0] instanceof Error) return findErrorCode(at.errors[0]);
  }
  return error.message;
}
