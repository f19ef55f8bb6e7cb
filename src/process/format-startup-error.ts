// Pure: what a start or a command that failed says to the person who typed it: one plain message, without a stack and
// without what a driver quotes of statements, values or passwords.
import { ConfigError } from '../config/config.ts';
import type { DatabaseAddress } from '../db/database-address.ts';
import { isUnavailable, sqlState } from '../db/failures.ts';
import { UserError, ValidationError } from '../errors/errors.ts';

/** Their messages are written for that person. */
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
  '28P01': 'The database refuses the password in DATABASE_URL.',
  '28000':
    'The database refuses the user in DATABASE_URL, or a connection without TLS: then set sslmode=require or stricter in it.',
  '3D000': 'There is no such database as DATABASE_URL names. Create it first, or correct the name.',
  '08P01':
    'The database address leads to a connection pooler that refuses start-up parameters: set DATABASE_DIRECT_URL to the address of PostgreSQL itself.',
  '42501': 'The user in DATABASE_URL has not the rights that this needs in the database.',
  '42P01': "The database does not have Sluice's tables, or has old ones: run `npm run -s sluice -- migrate`.",
  '42703': "The database does not have Sluice's tables, or has old ones: run `npm run -s sluice -- migrate`.",
  '3F000': "The database does not have Sluice's tables, or has old ones: run `npm run -s sluice -- migrate`.",
  '53300': 'The database has no connection left: raise its max_connections, or lower DATABASE_POOL.',
  '57P03': 'The database is starting or stopping. Try again in a moment.',
};

const UNKNOWN_AUTHORITY =
  'The certificate of the database server is self-signed, or of an authority that is not known here: set sslrootcert=/path/to/ca.crt in DATABASE_URL to the certificate of that authority (or of the server, if it is self-signed), or sslmode=require to encrypt without verifying the server.';

/** Codes of Node for certificates. */
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

/** Of pg, which has no codes for these. */
const BY_MESSAGE: readonly (readonly [part: string, words: string])[] = [
  ['client password must be', NO_PASSWORD],
  [
    'The server does not support SSL connections',
    'The database server does not support TLS: switch it on there (ssl = on), or set sslmode=disable in DATABASE_URL.',
  ],
];

/**
 * Null for what nobody expected: that is for the log, or for a report. The place is that of DATABASE_URL; null in local
 * mode.
 */
export const failureWords = (error: unknown, place: DatabaseAddress | null = null): string | null => {
  if (!(error instanceof Error)) return null;
  if (error instanceof ValidationError) return error.issues.map((issue) => issue.message).join('\n');
  if (error instanceof ConfigError || error instanceof UserError || PLAIN_ERRORS.has(error.name)) return error.message;
  const state = sqlState(error);
  if (state === REFUSED_PASSWORD && place?.hasPassword === false) return NO_PASSWORD;
  const known = (state === null ? undefined : BY_SQL_STATE[state]) ?? BY_CODE[reasonOf(error)];
  if (known !== undefined) return known;
  const recognized = BY_MESSAGE.find(([part]) => error.message.includes(part) || causeMessage(error).includes(part));
  if (recognized) return recognized[1];
  if (!isUnavailable(error)) return null;
  return place === null
    ? `The database cannot be reached (${reasonOf(error)}).`
    : `The database ${place.database} on ${place.host}:${place.port} cannot be reached (${reasonOf(error)}). Is DATABASE_URL right?`;
};

const causeMessage = ({ cause }: Error): string => (cause instanceof Error ? cause.message : '');

/** The system's code, such as ECONNREFUSED; of a host with several addresses, that of the first. */
const reasonOf = (error: Error): string => {
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    if ('code' in at && typeof at.code === 'string') return at.code;
    if (at instanceof AggregateError && at.errors[0] instanceof Error) return reasonOf(at.errors[0]);
  }
  return error.message;
};
