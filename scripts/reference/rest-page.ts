// Pure: the reference page of the REST routes, made from the OpenAPI document.
import { escapeMarkdown } from './escape-markdown.ts';

interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly default?: unknown;
  readonly description?: string;
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
}

interface Content {
  readonly content?: Readonly<Record<string, { readonly schema?: Schema }>>;
}

interface Operation {
  readonly summary: string;
  readonly description: string;
  readonly deprecated?: boolean;
  readonly parameters: readonly { name: string; in: string; required: boolean; description?: string }[];
  readonly requestBody?: Content & { readonly description?: string };
  readonly responses: Readonly<Record<string, Content & { readonly description: string }>>;
}

export interface OpenApiDocument {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
}

function typeOf(schema: Schema): string {
  if (schema.$ref) {
    const name = schema.$ref.split('/').at(-1) ?? '';
    return `[${name}](#${name.toLowerCase()})`;
  }
  if (schema.enum) return schema.enum.map((value) => `\`${JSON.stringify(value)}\``).join(' or ');
  if ('const' in schema) return `\`${JSON.stringify(schema.const)}\``;
  if (schema.anyOf) return [...new Set(schema.anyOf.map(typeOf))].join(' or ');
  if (schema.type === 'array') return `list of ${typeOf(schema.items ?? {})}`;
  if (schema.type === undefined) return 'anything';
  return [schema.type].flat().join(' or ');
}

function bodyOf({ content = {} }: Content): string {
  return Object.entries(content)
    .map(([type, { schema }]) => `\`${type}\`${schema ? `: ${shapeOf(schema)}` : ''}`)
    .join('; ');
}

/** Describes a body. If it is not a component, its fields are listed on the same line. */
function shapeOf(schema: Schema): string {
  return schema.properties
    ? `object with ${Object.entries(schema.properties)
        .map(([name, property]) => `\`${name}\` (${typeOf(property)})`)
        .join(', ')}`
    : typeOf(schema);
}

function routeWords(method: string, path: string, route: Operation): string[] {
  return [
    `### ${method.toUpperCase()} ${path}`,
    `${route.deprecated ? '**Deprecated.** ' : ''}${escapeMarkdown(route.summary)}. ${escapeMarkdown(route.description)}`,
    [
      ...route.parameters.map(
        (one) =>
          `- \`${one.name}\` (${one.in}${one.required ? '' : ', optional'}): ${escapeMarkdown(one.description ?? '')}`,
      ),
      ...(route.requestBody
        ? [`- body: ${bodyOf(route.requestBody)}. ${escapeMarkdown(route.requestBody.description ?? '')}`.trimEnd()]
        : []),
      ...Object.entries(route.responses).map(
        ([status, answer]) =>
          `- ${status}: ${escapeMarkdown(answer.description)}${Number(status) < 300 && answer.content ? ` ${bodyOf(answer)}` : ''}`,
      ),
    ].join('\n'),
  ];
}

function shapeWords(name: string, schema: Schema): string[] {
  return [
    `### ${name}`,
    escapeMarkdown(schema.description ?? ''),
    Object.entries(schema.properties ?? {})
      .map(([field, property]) => {
        const needed = schema.required?.includes(field) ? '' : ', optional';
        const byDefault = property.default === undefined ? '' : `, defaults to \`${JSON.stringify(property.default)}\``;
        return `- \`${field}\` (${typeOf(property)}${needed}${byDefault}): ${escapeMarkdown(property.description ?? '')}`.replace(
          /: $/,
          '',
        );
      })
      .join('\n'),
  ];
}

export function restPage({ paths, components }: OpenApiDocument): string {
  return [
    '## Routes',
    ...Object.entries(paths).flatMap(([path, methods]) =>
      Object.entries(methods).flatMap(([method, route]) => routeWords(method, path, route)),
    ),
    '## Bodies',
    ...Object.entries(components.schemas).flatMap(([name, schema]) => shapeWords(name, schema)),
  ]
    .filter((part) => part !== '')
    .join('\n\n');
}
