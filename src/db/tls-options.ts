import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { checkServerIdentity, type ConnectionOptions } from 'node:tls';

// The TLS parameters of a connection string as libpq reads them. pg reads them otherwise: its `require` verifies the host, and
// its `verify-ca` too.

/** A TLS parameter is wrong, or one of its files cannot be read. */
class TlsParameterError extends Error {
  override readonly name = 'TlsParameterError';
}

/** The parameters that are read here, and that pg must not see. */
export const TLS_PARAMETERS = ['sslmode', 'sslrootcert', 'sslcert', 'sslkey', 'uselibpqcompat'] as const;

const MODES = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'] as const;
type Mode = (typeof MODES)[number];

/** libpq looks for the certificates of authorities here if none are named. */
const DEFAULT_ROOT = join(homedir(), '.postgresql', 'root.crt');
/** The value of sslrootcert that stands for the authorities that the system trusts; here those that Node carries. */
const SYSTEM = 'system';

/**
 * The TLS options of pg; false if the parameters name none: pg would read PGSSLMODE, and otherwise than libpq (config.ts makes
 * parameters of it). Reads the files that they name.
 * There are two differences to libpq, because pg decides before it connects: `allow` never encrypts, and `prefer` always does.
 */
export const tlsOptions = (parameters: URLSearchParams, hostOf: () => string): ConnectionOptions | false => {
  if (!TLS_PARAMETERS.some((name) => parameters.has(name))) return false;
  const host = hostOf();
  const rootFile = parameters.get('sslrootcert') ?? (existsSync(DEFAULT_ROOT) ? DEFAULT_ROOT : null);
  const mode = modeOf(parameters);
  // A socket of the machine has no TLS.
  if (host.startsWith('/') || mode === 'disable' || mode === 'allow') return false;
  if (rootFile === SYSTEM && mode !== 'verify-full')
    throw new TlsParameterError(`sslrootcert=system needs sslmode=verify-full, not ${mode}.`);
  if (mode === 'verify-ca' && rootFile === null)
    throw new TlsParameterError(
      'sslmode=verify-ca needs the certificate of the authority: set sslrootcert=/path/to/ca.crt in the database address.',
    );
  const own = ownCertificate(parameters);
  // libpq verifies in this mode if it has something to verify with.
  const verifies = mode === 'verify-full' || mode === 'verify-ca' || (mode === 'require' && rootFile !== null);
  if (!verifies) return { ...own, rejectUnauthorized: false };
  return {
    ...own,
    rejectUnauthorized: true,
    ...(rootFile !== null && rootFile !== SYSTEM && { ca: readParameter('sslrootcert', rootFile) }),
    // Node compares an IP address with localhost, because pg names no server to it then.
    checkServerIdentity: (_, certificate) =>
      mode === 'verify-full' ? checkServerIdentity(host, certificate) : undefined,
  };
};

const modeOf = (parameters: URLSearchParams): Mode => {
  const text = parameters.get('sslmode');
  // Certificates without a mode: the strictest one, as pg has it and libpq for those of the system.
  if (text === null) return 'verify-full';
  // pg's own, from before it had `require`.
  if (text === 'no-verify') return 'prefer';
  const mode = MODES.find((known) => known === text);
  if (mode === undefined) throw new TlsParameterError(`sslmode must be one of ${MODES.join(', ')}.`);
  return mode;
};

/** Of the client, if the server asks for one. */
const ownCertificate = (parameters: URLSearchParams): Pick<ConnectionOptions, 'cert' | 'key'> => {
  const certificate = parameters.get('sslcert');
  const key = parameters.get('sslkey');
  if ((certificate === null) !== (key === null))
    throw new TlsParameterError('sslcert and sslkey are set together, or neither is.');
  return certificate === null || key === null
    ? {}
    : { cert: readParameter('sslcert', certificate), key: readParameter('sslkey', key) };
};

const readParameter = (name: string, path: string): string => {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new TlsParameterError(`The file of ${name} in the database address cannot be read: ${path}.`, { cause });
  }
};
