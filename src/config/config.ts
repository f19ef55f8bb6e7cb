import { BadSetting, type Setting } from './setting.ts';
import { SETTINGS } from './settings.ts';

// The only reader of the environment.

export type Config = { readonly [Name in keyof typeof SETTINGS]: ReturnType<(typeof SETTINGS)[Name]['read']> };

/** One thing that is wrong: the settings that it is about, and a message that names them. */
interface Problem {
  readonly names: readonly string[];
  readonly message: string;
}

/** Everything that is wrong with the environment, in one message. */
export class ConfigError extends Error {
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    const count = problems.length === 1 ? 'a setting is' : `${problems.length} settings are`;
    super(`Sluice cannot start: ${count} wrong.\n${problems.map(({ message }) => `  ${message}`).join('\n')}`);
    this.problems = problems;
  }
}

/** Reads all settings. Throws one ConfigError that names every bad variable. */
export const loadConfig = (env: Readonly<Record<string, string | undefined>>): Config => {
  const problems: Problem[] = [];
  const entries = Object.entries(SETTINGS).map(([key, { name, read, ifEmpty }]: [string, Setting<unknown>]) => {
    const raw = env[name];
    try {
      if (raw === '' && ifEmpty !== undefined) throw new BadSetting(ifEmpty);
      return [key, read(raw === undefined || raw === '' ? undefined : raw)] as const;
    } catch (error) {
      if (!(error instanceof BadSetting)) throw error;
      // Never the value: it may be a secret in the wrong place.
      problems.push({ names: [name], message: `${name} ${error.message}` });
      return [key, undefined] as const;
    }
  });
  const read = Object.fromEntries(entries) as unknown as Config;
  const config: Config = {
    ...read,
    databaseUrl: withTlsVariables(read.databaseUrl, env),
    databaseDirectUrl: withTlsVariables(read.databaseDirectUrl, env),
    databaseReadUrl: withTlsVariables(read.databaseReadUrl, env),
  };
  // Of a setting that could not be read no contradiction can be told.
  if (problems.length === 0) problems.push(...contradictions(config));
  if (problems.length > 0) throw new ConfigError(problems);
  return config;
};

/** The variables of libpq for the TLS parameters of a connection string. */
const TLS_VARIABLES = {
  sslmode: 'PGSSLMODE',
  sslrootcert: 'PGSSLROOTCERT',
  sslcert: 'PGSSLCERT',
  sslkey: 'PGSSLKEY',
} as const;

/** The connection string, with the variables of libpq for the TLS parameters that it does not have, as in libpq. */
const withTlsVariables = (url: string | null | undefined, env: Readonly<Record<string, string | undefined>>) => {
  const added = Object.entries(TLS_VARIABLES).filter(([, variable]) => env[variable]);
  if (url == null || added.length === 0) return url ?? null;
  const address = new URL(url);
  for (const [parameter, variable] of added) {
    if (!address.searchParams.has(parameter)) address.searchParams.set(parameter, env[variable] ?? '');
  }
  return address.href;
};

const contradictions = (config: Config): Problem[] => [
  ...(config.heartbeatMs * 3 > config.leaseSeconds * 1000
    ? [
        {
          names: ['RUN_HEARTBEAT_MS', 'RUN_LEASE_SECONDS'],
          message:
            'RUN_HEARTBEAT_MS must be at most a third of RUN_LEASE_SECONDS, so that one lost renewal is no lost run',
        },
      ]
    : []),
  ...(config.partBytes > config.exportMemory
    ? [{ names: ['EXPORT_MEMORY', 'EXPORT_PART_BYTES'], message: 'EXPORT_MEMORY must be at least EXPORT_PART_BYTES' }]
    : []),
  ...(config.databaseUrl === null && config.databaseDirectUrl !== null
    ? [
        {
          names: ['DATABASE_DIRECT_URL'],
          message: 'DATABASE_DIRECT_URL needs a DATABASE_URL, which names the connection pooler in front of it',
        },
      ]
    : []),
  ...(config.databaseUrl === null && config.databaseReadUrl !== null
    ? [
        {
          names: ['DATABASE_READ_URL'],
          message: 'DATABASE_READ_URL needs a DATABASE_URL, of which it is a standby: local mode has none',
        },
      ]
    : []),
  ...(config.trustedDocumentsOnly && config.trustedDocuments === null
    ? [
        {
          names: ['TRUSTED_DOCUMENTS_ONLY'],
          message:
            'TRUSTED_DOCUMENTS_ONLY needs the file TRUSTED_DOCUMENTS: without it every document would be refused',
        },
      ]
    : []),
  ...(config.databaseUrl === null && config.role !== 'all'
    ? [
        {
          names: ['ROLE'],
          message: 'ROLE must be all without a DATABASE_URL: the database of local mode serves one process',
        },
      ]
    : []),
];

/** Connections of the pool that the requests of one account may use together. */
export const accountConnections = ({
  databasePool,
  accountPoolShare,
}: Pick<Config, 'databasePool' | 'accountPoolShare'>): number =>
  Math.max(1, Math.floor((databasePool * accountPoolShare) / 100));

/** Where traces are sent to; null where none are asked for. */
export const tracesUrl = ({
  otlpEndpoint,
  otlpTracesEndpoint,
}: Pick<Config, 'otlpEndpoint' | 'otlpTracesEndpoint'>): string | null =>
  otlpTracesEndpoint ?? (otlpEndpoint && `${otlpEndpoint.replace(/\/$/, '')}/v1/traces`);

/** Whether a container's role gives the AWS credentials, as in ECS and EKS. The AWS SDK reads these variables itself. */
export const hasContainerRole = (env: Readonly<Record<string, string | undefined>> = process.env): boolean =>
  Boolean(env['AWS_CONTAINER_CREDENTIALS_FULL_URI'] || env['AWS_CONTAINER_CREDENTIALS_RELATIVE_URI']);

/** Returns name, default and meaning of every setting, for docs/reference/settings.md. */
export const describeSettings = (): { name: string; defaultText: string; description: string }[] =>
  Object.values(SETTINGS).map(({ name, defaultText, description }) => ({ name, defaultText, description }));
