// Pure: builds the OpenAPI document from the routes and the schemas with which they validate.
import { z } from 'zod';
import { createDocument } from 'zod-openapi';
import packageJson from '../../package.json' with { type: 'json' };
import { errorSchema } from './error-body.ts';
import type { Family, Route } from './route.ts';

const TAGS: Readonly<Record<Family, string>> = { telemetry: 'Allocation telemetry', jobs: 'Export jobs' };

type Responses = Record<string, { description: string; content?: object; headers?: object }>;

const failureContent = { 'application/json': { schema: errorSchema } };
const RETRY_AFTER = {
  'Retry-After': { description: 'Seconds to wait before a retry.', schema: { type: 'integer' } },
};

/** Errors of every route that reads a body. */
const BODY_FAILURES: Readonly<Record<number, string>> = {
  408: 'The body arrived too slowly or took too long. Nothing was stored.',
  413: 'The body is larger than MAX_BODY_BYTES after decompression.',
  415: 'The Content-Encoding is not supported. Use gzip, deflate, br or none.',
};

/** Errors of every route. */
function documentFailures(route: Route): Responses {
  const common: Record<number, string> = {
    400: 'The input is not valid. The error lists every problem with its path and code.',
    ...(route.family === 'jobs' && { 401: 'The API key is missing or not valid.' }),
    403:
      route.family === 'jobs'
        ? 'The API key lacks the scope.'
        : 'The API key is missing or not valid, or lacks the scope.',
    ...(route.body && BODY_FAILURES),
    500: 'Unexpected error. The log of the server contains the cause under errorId.',
    503: 'The database is unavailable, the request took too long, or the memory for request bodies (REQUEST_MEMORY) is in use. With an Idempotency-Key it is safe to retry.',
    ...route.failures,
  };
  return Object.fromEntries(
    Object.entries(common).map(([status, description]) => [
      status,
      { description, content: failureContent, ...((status === '503' || status === '429') && { headers: RETRY_AFTER }) },
    ]),
  );
}

/** Returns the JSON schema of a parameter without $schema: the dialect is that of the document. */
function buildSchema(schema: z.ZodType): object {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: 'input' });
  return rest;
}

function documentOperation(route: Route) {
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
        description: name === 'stream' ? 'The name of the stream.' : 'The id, as responses contain it.',
        schema: { type: 'string' as const },
      })),
      ...(route.parameters ?? []).map((parameter) => ({
        name: parameter.name,
        in: parameter.in,
        required: false,
        description: parameter.description,
        schema: buildSchema(parameter.schema),
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
      ...documentFailures(route),
    },
  };
}

export function buildOpenApi(routes: readonly Route[]): object {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const route of routes) (paths[route.path] ??= {})[route.method] = documentOperation(route);
  return createDocument({
    openapi: '3.1.1',
    info: {
      title: 'Sluice',
      version: packageJson.version,
      summary: 'Routes compatible with clients of CloudZero allocation telemetry and Amberflo export jobs.',
      description:
        'The same streams, jobs and rules as in the GraphQL API at `graphql` (relative to this document), which offers more operations. Numbers in bodies keep all digits. Windows are half-open. Times are RFC 3339 in UTC unless stated otherwise.',
      license: { name: packageJson.license, identifier: packageJson.license },
    },
    // Relative to the document, so that it also works below the path prefix of a proxy.
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
          description: 'The API key, with or without "Bearer " before it.',
        },
      },
    },
    paths,
  });
}
