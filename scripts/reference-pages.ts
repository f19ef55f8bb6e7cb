/**
 * Makes docs/reference/ out of the schema, the OpenAPI document, the settings and the operator's commands. With --write its
 * pages are written; with --check the script ends with 1 where others stand there.
 */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buildSchema, type GraphQLEnumType, lexicographicSortSchema, printSchema } from 'graphql';
import { createProgram } from '../src/cli/program.ts';
import { describeSettings } from '../src/config/config.ts';
import { ConflictError, LimitExceededError, UnavailableError } from '../src/errors/errors.ts';
import { failureOf } from '../src/exports/run-failure.ts';
import { s3Explanations } from '../src/exports/s3-failures.ts';
import { ERROR_CODES } from '../src/graphql/error-codes.ts';
import { createSchema } from '../src/graphql/schema/schema.ts';
import { ISSUE_CODES } from '../src/errors/issue-codes.ts';
import { describeApi } from '../src/rest/openapi.ts';
import { jobRoutes } from '../src/rest/routes/job-routes.ts';
import { runRoutes } from '../src/rest/routes/run-routes.ts';
import { telemetryRoutes } from '../src/rest/routes/telemetry-routes.ts';
import { MISSED, SUPERSEDED } from '../src/runs/due-slots.ts';
import { WORKER_LOST } from '../src/runs/lost-runs.ts';
import { formatTable } from './readme-tables.ts';
import { commandsPage } from './reference/commands-page.ts';
import { errorsPage } from './reference/errors-page.ts';
import { graphqlPage } from './reference/graphql-page.ts';
import { type OpenApiDocument, restPage } from './reference/rest-page.ts';

const FOLDER = join(import.meta.dirname, '../docs/reference');

const page = (title: string, intro: string, body: string): string =>
  `# ${title}\n\n<!-- Written by npm run docs. -->\n\n${intro}\n\n${body.trim()}\n`;

const program = createProgram({
  env: {},
  terminal: {
    answer: () => undefined,
    say: () => undefined,
    answers: { isTerminal: false, columns: null, paint: (_, text) => text },
  },
  log: { debug: () => undefined, warn: () => undefined, error: () => undefined },
  onBroken: () => undefined,
  onInterrupted: () => undefined,
});

const schema = buildSchema(printSchema(lexicographicSortSchema(createSchema())));

const PLACE = { bucket: 'BUCKET', bucketOwner: null, region: 'REGION' };
const ANSWER = { s3Code: 'CODE', status: undefined, systemCode: undefined, bucketRegion: undefined };
const failure = (error: Error) =>
  failureOf(error, { bucket: 'BUCKET', path: 'PATH', principalArn: 'arn:aws:iam::123456789012:role/sluice' });
const runErrors = [
  ...s3Explanations(PLACE, ANSWER),
  MISSED,
  SUPERSEDED,
  WORKER_LOST,
  failure(Object.assign(new UnavailableError(''), { code: 'ECONNREFUSED' })),
  failure(new LimitExceededError('The export has more rows, or is larger, than a limit allows.', 0, 0)),
  failure(new ConflictError('The bucket belongs to another account of this deployment.')),
  failure(new Error()),
];

const PAGES: Readonly<Record<string, string>> = {
  'graphql.md': page(
    'GraphQL',
    'Every operation and type at `/graphql`. At its end you know what each field means, its units, defaults and limits. The same as text: [schema.graphql](../../schema.graphql).',
    graphqlPage(schema),
  ),
  'rest.md': page(
    'REST routes',
    'What senders of allocation telemetry and scripts for export jobs know. A running server describes them at `/docs`, and for generators at `/openapi.json`. The body of a refusal is [Error](#error).',
    restPage(describeApi([...telemetryRoutes, ...jobRoutes, ...runRoutes]) as OpenApiDocument),
  ),
  'errors.md': page(
    'Errors',
    'Every code that an error can have. Programs go by the codes; messages are for people and may change.',
    errorsPage({
      errorCode: schema.getType('ErrorCode') as GraphQLEnumType,
      topLevelCodes: ERROR_CODES,
      issueCodes: ISSUE_CODES,
      runErrors,
    }),
  ),
  'settings.md': page(
    'Settings',
    'All come from the environment. A wrong one stops the start with a message that names every wrong one.',
    formatTable([
      ['setting', 'default', 'meaning'],
      ...describeSettings().map(({ name, defaultText, description }) => [`\`${name}\``, defaultText, description]),
    ]),
  ),
  'commands.md': page(
    "The operator's commands",
    'They take the settings of the server, from the environment, and work on its database. `usage`, `export watch` and `ingest` are clients of the API, which may be on another machine: they need an address and a key, and no `DATABASE_URL`. Exit code 0: done; 1: refused or broken; 2: typed wrongly; 130: stopped with Ctrl-C.',
    commandsPage(program),
  ),
};

const [mode] = process.argv.slice(2);
if (mode === '--write') {
  await mkdir(FOLDER, { recursive: true });
  for (const [name, text] of Object.entries(PAGES)) await writeFile(join(FOLDER, name), text);
} else {
  const there = await readdir(FOLDER);
  const wrong: string[] = there.filter((name) => !(name in PAGES));
  for (const [name, text] of Object.entries(PAGES)) {
    if ((await readFile(join(FOLDER, name), 'utf8').catch(() => '')) !== text) wrong.push(name);
  }
  if (wrong.length > 0) {
    console.error(`Not what the code says: docs/reference/${wrong.join(', docs/reference/')}. Run \`npm run docs\`.`);
    process.exitCode = 1;
  }
}
