// Pure: the OpenAPI document of the routes, out of the schemas that they validate with.
import { z } from 'zod';
import { createDocument } from 'zod-openapi';
import packageJson from '../../package.json' with { type: 'json' };
import { errorSchema } from './error-body.ts';
import type { Family, Route } from './route.ts';

const TAGS: Readonly<Record<Family, string>> = { telemetry: 'Allocation telemetry', jobs: 'Export jobs' };

type Responses = Record<string, { description: string; content?: object; headers?: object }>;

const failureContent = { 'application/json': { schema: errorSchema } };
const RETRY_AFTER = {
  'Retry-After': { description: 'Seconds to wait.', schema: { type: 'integer' } },
};

/** What every route that reads a body may answer. */
const BODY_FAILURES: Readonly<Record<number, string>> = {
  408: 'The body came too slowly, or took too long. Nothing was stored.',
  413: 'The body is too large, after decompression (MAX_BODY_BYTES).',
  415: 'The Content-Encoding is not known.',
};

/** What every route may answer, whatever it does. */
const failuresOf = (route: Route): Responses => {
  const common: Record<number, string> = {
    400: 'The input breaks rules: every problem is listed, with its path and code.',
    ...(route.family === 'jobs' && { 401: 'The key is missing or not valid.' }),
    403: route.family === 'jobs' ? 'The key lacks the scope.' : 'The key is missing, not valid, or lacks the scope.',
    ...(route.body && BODY_FAILURES),
    500: 'Something unexpected; errorId stands in the log.',
    503: 'The database is away, it took too long, or the server holds as many bodies as REQUEST_MEMORY allows. With an Idempotency-Key it is safe to send it again.',
    ...route.failures,
  };
  return Object.fromEntries(
    Object.entries(common).map(([status, description]) => [
      status,
      { description, content: failureContent, ...((status === '503' || status === '429') && { headers: RETRY_AFTER }) },
    ]),
  );
};

/** Parameters are no components; the dialect is that of the document. */
const schemaOf = (schema: z.ZodType): object => {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: 'input' });
  return rest;
};

const operationOf = (route: Route) => {
  const { status, description, schema, headers = {} } = route.success;
  const names = [...route.path.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => name);
  return {
    operationId: route.operationId,
    tags: [TAGS[route.family]],
    summary: route.summary,
    description: [route.description, `Scope: ${route.scope}.`].filter(Boolean).join(' '),
    ...(route.deprecated && { deprecated: true }),
    parameters: [
      ...names.map((name) => ({
        name,
        in: 'path' as const,
        required: true,
        description: name === 'stream' ? 'The name of the stream.' : 'The id, as answers give it.',
        schema: { type: 'string' as const },
      })),
      ...(route.parameters ?? []).map((parameter) => ({
        name: parameter.name,
        in: parameter.in,
        required: false,
        description: parameter.description,
        schema: schemaOf(parameter.schema),
      })),
    ],
    ...(route.body && { requestBody: route.body }),
    responses: {
      [status]: {
        description,
        ...(schema && { content: { 'application/json': { schema } } }),
        ...(Object.keys(headers).length > 0 && {
          headers: Object.fromEntries(
            Object.entries(headers).map(([name, text]) => [name, { description: text, schema: { type: 'string' } }]),
          ),
        }),
      },
      ...failuresOf(route),
    },
  };
};

export const buildOpenApi = (routes: readonly Route[]): object => {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const route of routes) (paths[route.path] ??= {})[route.method] = operationOf(route);
  return createDocument({
    openapi: '3.1.1',
    info: {
      title: 'Sluice',
      version: packageJson.version,
      summary: 'The routes that senders of allocation telemetry and scripts for export jobs know.',
      description:
        'The same streams, jobs and rules as the GraphQL API at `graphql` (relative to this document), which has more. Numbers in bodies keep their digits; windows are half-open; times are RFC 3339 in UTC where nothing else is said.',
      license: { name: packageJson.license, identifier: packageJson.license },
    },
    // Relative to the document, so that it also holds below the path prefix of a proxy.
    servers: [{ url: '.', description: 'This server.' }],
    tags: Object.values(TAGS).map((name) => ({ name })),
    security: [{ apiKey: [] }, { authorization: [] }],
    components: {
      securitySchemes: {
        apiKey: { type: 'apiKey', in: 'header', name: 'X-API-Key' },
        authorization: {
          type: 'apiKey',
          in: 'header',
          name: 'Authorization',
          description: 'The key itself, with or without "Bearer " before it.',
        },
      },
    },
    paths,
  });
};
