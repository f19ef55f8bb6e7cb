import type { z } from 'zod';
import { type BucketWriter, UNKNOWN_PRINCIPAL } from '../exports/bucket-policy.ts';
import type { Setting } from './setting.ts';
import { SETTINGS } from './settings.ts';

// The only reader of the environment.

export type Config = { readonly [Name in keyof typeof SETTINGS]: z.output<(typeof SETTINGS)[Name]['schema']> };

type Environment = Readonly<Record<string, string | undefined>>;

/** A problem: the settings that it concerns, and a message that names them. */
interface Problem {
  readonly names: readonly string[];
  readonly message: string;
}

/** All problems of the environment in one message. */
export class ConfigError extends Error {
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    const count = problems.length === 1 ? 'a setting is' : `${problems.length} settings are`;
    super(`Sluice cannot start: ${count} wrong.\n${problems.map(({ message }) => `  ${message}`).join('\n')}`);
    this.problems = problems;
  }
}

/** Reads all settings. Throws a ConfigError that names every invalid variable. */
export function loadConfig(env: Environment): Config {
  const problems: Problem[] = [];
  const read = ({ name, schema, ifEmpty }: Setting): unknown => {
    const raw = env[name];
    const { data, error } = schema.safeParse(raw === '' ? undefined : raw);
    const problem = raw === '' && ifEmpty !== undefined ? ifEmpty : error?.issues[0]?.message;
    // Without the value, which may be a secret in the wrong variable.
    if (problem !== undefined) problems.push({ names: [name], message: `${name} ${problem}` });
    return data;
  };
  const values = Object.fromEntries(
    Object.entries(SETTINGS).map(([key, setting]: [string, Setting]) => [key, read(setting)]),
  ) as unknown as Config;
  const config: Config = {
    ...values,
    databaseUrl: withTlsVariables(values.databaseUrl, env),
    databaseDirectUrl: withTlsVariables(values.databaseDirectUrl, env),
    databaseReadUrl: withTlsVariables(values.databaseReadUrl, env),
  };
  // Contradictions can only be found between settings that are valid.
  if (problems.length === 0) problems.push(...findContradictions(config));
  if (problems.length > 0) throw new ConfigError(problems);
  return config;
}

/** The variables of libpq for the TLS parameters of a connection string. */
const TLS_VARIABLES = {
  sslmode: 'PGSSLMODE',
  sslrootcert: 'PGSSLROOTCERT',
  sslcert: 'PGSSLCERT',
  sslkey: 'PGSSLKEY',
} as const;

/** Adds the variables of libpq for TLS parameters that the connection string does not have, as libpq does. */
function withTlsVariables(url: string | null | undefined, env: Environment): string | null {
  const added = Object.entries(TLS_VARIABLES).filter(([, variable]) => env[variable]);
  if (url == null || added.length === 0) return url ?? null;
  const address = new URL(url);
  for (const [parameter, variable] of added) {
    if (!address.searchParams.has(parameter)) address.searchParams.set(parameter, env[variable] ?? '');
  }
  return address.href;
}

function findContradictions(config: Config): Problem[] {
  const isLocal = config.databaseUrl === null;
  const rules: [isBroken: boolean, names: string[], message: string][] = [
    [
      config.heartbeatMs * 3 > config.leaseSeconds * 1000,
      ['RUN_HEARTBEAT_MS', 'RUN_LEASE_SECONDS'],
      'RUN_HEARTBEAT_MS must be at most a third of RUN_LEASE_SECONDS, so that one failed renewal does not lose the run',
    ],
    [
      config.partBytes > config.exportMemory,
      ['EXPORT_MEMORY', 'EXPORT_PART_BYTES'],
      'EXPORT_MEMORY must be at least EXPORT_PART_BYTES',
    ],
    [
      config.ledgerScanSeconds > config.ledgerScanIdleSeconds,
      ['LEDGER_SCAN_SECONDS', 'LEDGER_SCAN_IDLE_SECONDS'],
      'LEDGER_SCAN_SECONDS must be at most LEDGER_SCAN_IDLE_SECONDS',
    ],
    [
      isLocal && config.databaseDirectUrl !== null,
      ['DATABASE_DIRECT_URL'],
      'DATABASE_DIRECT_URL needs a DATABASE_URL, which names the connection pooler in front of it',
    ],
    [
      isLocal && config.databaseReadUrl !== null,
      ['DATABASE_READ_URL'],
      'DATABASE_READ_URL needs a DATABASE_URL, of which it is a standby: local mode has none',
    ],
    [
      config.trustedDocumentsOnly && config.trustedDocuments === null,
      ['TRUSTED_DOCUMENTS_ONLY'],
      'TRUSTED_DOCUMENTS_ONLY needs the file TRUSTED_DOCUMENTS: without it every document would be rejected',
    ],
    [
      isLocal && config.role !== 'all',
      ['ROLE'],
      'ROLE must be all without a DATABASE_URL: the database of local mode serves one process',
    ],
  ];
  return rules.flatMap(([isBroken, names, message]) => (isBroken ? [{ names, message }] : []));
}

/** Connections of the pool that the requests of one account may use together. */
export function accountConnections({ databasePool, accountPoolShare }: Config): number {
  return Math.max(1, Math.floor((databasePool * accountPoolShare) / 100));
}

/** The address that traces are sent to; null if no collector is configured. */
export function tracesUrl({ otlpEndpoint, otlpTracesEndpoint }: Config): string | null {
  return otlpTracesEndpoint ?? (otlpEndpoint && `${otlpEndpoint.replace(/\/$/, '')}/v1/traces`);
}

/** As whom this server writes objects. */
export function bucketWriter({ principalArn, s3Acl }: Config): BucketWriter {
  return { principalArn: principalArn ?? UNKNOWN_PRINCIPAL, sendsAcl: s3Acl !== 'none' };
}

/** Whether a container's role provides the AWS credentials, as in ECS and EKS. The AWS SDK reads these variables itself. */
export function hasContainerRole(env: Environment = process.env): boolean {
  return Boolean(env['AWS_CONTAINER_CREDENTIALS_FULL_URI'] || env['AWS_CONTAINER_CREDENTIALS_RELATIVE_URI']);
}

/** Returns name, default and meaning of every setting, for docs/reference/settings.md. */
export function describeSettings(): { name: string; defaultText: string; description: string }[] {
  return Object.values(SETTINGS).map(({ name, schema, description, shownDefault }: Setting) => {
    const value = schema.parse(undefined) as string | number | boolean | readonly string[] | null;
    return { name, defaultText: shownDefault ?? (String(value ?? '') || 'none'), description };
  });
}
