import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { checkServerIdentity, type ConnectionOptions } from 'node:tls';

// The TLS parameters of a connection string, interpreted as libpq does. pg interprets them in another way: its `require` and its
// `verify-ca` verify the host.

/** A TLS parameter is not valid, or one of its files cannot be read. */
class TlsParameterError extends Error {
  override readonly name = 'TlsParameterError';
}

/** The parameters that buildTlsOptions() reads, which pg must not receive. */
export const TLS_PARAMETERS = ['sslmode', 'sslrootcert', 'sslcert', 'sslkey', 'uselibpqcompat'] as const;

const MODES = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'] as const;
type Mode = (typeof MODES)[number];

/** The file of CA certificates that libpq reads if no other is named. */
const DEFAULT_ROOT = join(homedir(), '.postgresql', 'root.crt');
/** The value of sslrootcert for the CA certificates of the system; here those that Node contains. */
const SYSTEM = 'system';

/**
 * Returns the TLS options of pg; false if there are no TLS parameters, because pg would read PGSSLMODE, in another way than libpq
 * (config.ts makes parameters of it). Reads the files that the parameters name.
 * There are two differences to libpq, because pg decides before it connects: `allow` never encrypts, and `prefer` always does.
 */
export function buildTlsOptions(parameters: URLSearchParams, getHost: () => string): ConnectionOptions | false {
  if (!TLS_PARAMETERS.some((name) => parameters.has(name))) return false;
  const host = getHost();
  const rootFile = parameters.get('sslrootcert') ?? (existsSync(DEFAULT_ROOT) ? DEFAULT_ROOT : null);
  const mode = parseMode(parameters);
  // A Unix socket has no TLS.
  if (host.startsWith('/') || mode === 'disable' || mode === 'allow') return false;
  if (rootFile === SYSTEM && mode !== 'verify-full')
    throw new TlsParameterError(`sslrootcert=system needs sslmode=verify-full, not ${mode}.`);
  if (mode === 'verify-ca' && rootFile === null)
    throw new TlsParameterError(
      'sslmode=verify-ca needs the certificate of the authority: set sslrootcert=/path/to/ca.crt in the database address.',
    );
  const own = readCertificate(parameters);
  // In the mode `require` libpq verifies the certificate if it has a file of CA certificates.
  const verifies = mode === 'verify-full' || mode === 'verify-ca' || (mode === 'require' && rootFile !== null);
  if (!verifies) return { ...own, rejectUnauthorized: false };
  return {
    ...own,
    rejectUnauthorized: true,
    ...(rootFile !== null && rootFile !== SYSTEM && { ca: readParameter('sslrootcert', rootFile) }),
    // For an IP address pg does not pass a server name, and Node would compare the certificate with localhost.
    checkServerIdentity: (_, certificate) =>
      mode === 'verify-full' ? checkServerIdentity(host, certificate) : undefined,
  };
}

function parseMode(parameters: URLSearchParams): Mode {
  const text = parameters.get('sslmode');
  // Certificates without a mode: the strictest mode, as in pg, and in libpq for the certificates of the system.
  if (text === null) return 'verify-full';
  // A mode of pg alone, from before it had `require`.
  if (text === 'no-verify') return 'prefer';
  const mode = MODES.find((known) => known === text);
  if (mode === undefined) throw new TlsParameterError(`sslmode must be one of ${MODES.join(', ')}.`);
  return mode;
}

/** Reads the certificate of the client, for servers that request one. */
function readCertificate(parameters: URLSearchParams): Pick<ConnectionOptions, 'cert' | 'key'> {
  const certificate = parameters.get('sslcert');
  const key = parameters.get('sslkey');
  if ((certificate === null) !== (key === null))
    throw new TlsParameterError('Set both sslcert and sslkey, or neither.');
  return certificate === null || key === null
    ? {}
    : { cert: readParameter('sslcert', certificate), key: readParameter('sslkey', key) };
}

function readParameter(name: string, path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new TlsParameterError(`The file of ${name} in the database address cannot be read: ${path}.`, { cause });
  }
}
