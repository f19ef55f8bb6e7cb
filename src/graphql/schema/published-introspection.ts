import {
  __Directive,
  __DirectiveLocation,
  __Schema,
  GraphQLDirective,
  type GraphQLEnumValue,
  specifiedDirectives,
} from 'graphql';

/** Not in the specification of September 2025: graphql-js 17 has them from the working draft. */
const DRAFT_LOCATIONS: ReadonlySet<string> = new Set(['DIRECTIVE_DEFINITION', 'FRAGMENT_VARIABLE_DEFINITION']);
const DRAFT_DIRECTIVE_FIELDS = ['isDeprecated', 'deprecationReason'];

/**
 * Returns the directives that the published specification names, with the locations that it allows. Clients such as
 * graphql-core 3.2 know a closed list of locations and reject a schema with any other.
 */
export function selectPublishedDirectives(): GraphQLDirective[] {
  return specifiedDirectives.map((directive) => {
    const config = directive.toConfig();
    return new GraphQLDirective({
      ...config,
      locations: config.locations.filter((location) => !DRAFT_LOCATIONS.has(location)),
    });
  });
}

/**
 * Removes the draft from the types of introspection. graphql-js has one instance of each of them for all schemas and no
 * option for this, so the instances change. A second call changes nothing.
 */
export function removeDraftIntrospection(): void {
  const fields = __Directive.getFields();
  for (const name of DRAFT_DIRECTIVE_FIELDS) delete fields[name];
  const directives = __Schema.getFields()['directives'];
  if (directives) directives.args = directives.args.filter(({ name }) => name !== 'includeDeprecated');
  const locations = __DirectiveLocation.getValues() as GraphQLEnumValue[];
  const published = locations.filter(({ name }) => !DRAFT_LOCATIONS.has(name));
  locations.splice(0, locations.length, ...published);
}
