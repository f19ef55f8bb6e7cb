import { DCLinter } from 'dclint';
import { validate } from 'dockerfile-utils';
import { access, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { SETTINGS } from '../../src/config/settings.ts';
import { readDockerfile } from '../support/image.ts';
import { ROOT } from '../support/source-files.ts';

// Checks of these files that need no engine to build and run them.
const read = (path: string): Promise<string> => readFile(join(ROOT, path), 'utf8');

interface Service {
  readonly image: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly healthcheck?: { readonly test: readonly string[] };
  readonly ports?: readonly string[];
  readonly restart?: string;
  readonly volumes?: readonly string[];
}
const compose = parse(await read('compose.yaml'), { merge: true }) as {
  readonly services: Readonly<Record<string, Service>>;
};
const services = Object.entries(compose.services);
const sluices = services.filter(([, { image }]) => image === 'sluice');

test('container files > pass the linters', async () => {
  expect(validate(await read('Dockerfile'), {})).toEqual([]);
  expect(validate('FROM a\nRUNN b', {}).map(({ message }) => message)).toEqual(['Unknown instruction: RUNN']);
  const linter = new DCLinter({ rules: {}, quiet: false, debug: false, exclude: [] });
  expect(linter.lintFiles([join(ROOT, 'compose.yaml')], false)).toEqual([
    expect.objectContaining({ messages: [], errorCount: 0, warningCount: 0 }),
  ]);
});

test('image > runs the pinned Node, and not as root', async () => {
  const { dependencies } = JSON.parse(await read('package.json')) as { dependencies: Record<string, string> };
  const stages = await readDockerfile();
  expect(stages.map(({ image }) => image.split(' ')[0])).toEqual(stages.map(() => `node:${dependencies['node']}-slim`));
  const last = stages.at(-1)?.instructions ?? [];
  expect(last.findLast(({ keyword }) => keyword === 'USER')?.rest).toBe('node');
  expect(last.some(({ keyword }) => keyword === 'HEALTHCHECK')).toBe(true);
});

test('image > starts the process like `npm start`', async () => {
  const { scripts } = JSON.parse(await read('package.json')) as { scripts: Record<string, string> };
  const last = (await readDockerfile()).at(-1)?.instructions ?? [];
  const command = JSON.parse(last.find(({ keyword }) => keyword === 'CMD')?.rest ?? '[]') as string[];
  const settings = last.find(({ keyword }) => keyword === 'ENV')?.rest.split(' ') ?? [];
  // The image has the right Node, so the preflight check in a process of its own is left out.
  expect(
    `node src/preflight.cjs && ${settings.find((one) => one.startsWith('MALLOC_'))} exec ${command.join(' ')}`,
  ).toBe(scripts['start']);
});

test('image > copies files that exist and that .dockerignore does not exclude', async () => {
  const ignored = (await read('.dockerignore')).split('\n').filter((line) => line !== '');
  expect(ignored[0]).toBe('*');
  for (const { instructions } of await readDockerfile()) {
    for (const { keyword, flags, rest } of instructions) {
      if (keyword !== 'COPY' || flags['from']) continue;
      for (const path of rest.split(' ').slice(0, -1)) {
        await access(join(ROOT, path));
        expect(ignored).toContain(`!${path}`);
      }
    }
  }
});

test('composition > starts two API servers and two workers, with settings that exist', () => {
  expect(sluices.map(([, { environment }]) => environment?.['ROLE'])).toEqual(['api', 'api', 'worker', 'worker']);
  const known = new Set<string>(Object.values(SETTINGS).map(({ name }) => name));
  for (const [, { environment = {} }] of sluices) {
    const unknown = Object.keys(environment).filter(
      (name) => !known.has(name) && !/^AWS_(?:ACCESS_KEY_ID|SECRET_ACCESS_KEY)$/.test(name),
    );
    expect(unknown).toEqual([]);
  }
});

test('composition > publishes ports on the loopback interface only, and contains no secret', async () => {
  for (const [, { ports = [] }] of services) for (const port of ports) expect(port).toMatch(/^127\.0\.0\.1:/);
  for (const [, { environment = {} }] of services) {
    for (const [name, value] of Object.entries(environment)) {
      if (/KEY$|SECRET|PASSWORD|_URL$/.test(name) && !/^(?:http:|sluice$)/.test(value))
        expect(value).toMatch(/\$\{[A-Z0-9_]+:\?/);
    }
  }
  expect(await read('compose.yaml')).not.toMatch(/:latest/);
});

test('composition > starts PostgreSQL 18 and an S3, and connects the servers to them', () => {
  expect(compose.services['postgres']?.image).toBe('postgres:18');
  expect(compose.services['s3']?.image).toMatch(/^rustfs\/rustfs:\d/);
  for (const [name, { environment = {} }] of sluices) {
    const place = (address = ''): string => /@?([\w-]+):\d+(?:\/\w+)?$/.exec(address)?.[1] ?? address;
    expect([name, place(environment['DATABASE_URL']), place(environment['AWS_ENDPOINT_URL_S3'])]).toEqual([
      name,
      'postgres',
      's3',
    ]);
  }
  // The script creates the role that the servers use, which is not a superuser.
  expect(compose.services['postgres']?.volumes).toContain(
    './deploy/postgres/role.sh:/docker-entrypoint-initdb.d/role.sh:ro',
  );
  for (const [, { environment }] of sluices) expect(environment?.['DATABASE_URL']).toMatch(/^postgres:\/\/sluice:/);
});

test('Prometheus > scrapes every server of the composition and loads the alert rules', async () => {
  const config = parse(await read('deploy/prometheus/prometheus.yaml')) as {
    readonly rule_files: readonly string[];
    readonly scrape_configs: readonly {
      readonly job_name: string;
      readonly static_configs: readonly { readonly targets: readonly string[] }[];
    }[];
  };
  expect(config.scrape_configs.map(({ job_name }) => job_name)).toEqual(['sluice']);
  for (const file of config.rule_files) await access(join(ROOT, 'deploy/prometheus', file));
  expect(config.rule_files).toEqual(['alerts.yaml']);
  const port = (await readDockerfile()).at(-1)?.instructions.find(({ keyword }) => keyword === 'EXPOSE')?.rest;
  const targets = config.scrape_configs.flatMap(({ static_configs: some }) => some.flatMap(({ targets: its }) => its));
  expect(targets.toSorted()).toEqual(sluices.map(([name]) => `${name}:${port}`).toSorted());
});
