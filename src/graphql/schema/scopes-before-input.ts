import SchemaBuilder, { BasePlugin, type PothosOutputFieldConfig, type SchemaTypes } from '@pothos/core';
import type { GraphQLFieldResolver } from 'graphql';
import type { Scope } from '../../accounts/scopes.ts';
import type { GraphQLContext } from './context.ts';
import { refuseCaller } from './refused-callers.ts';

type Resolver = GraphQLFieldResolver<unknown, GraphQLContext, object>;

declare global {
  export namespace PothosSchemaTypes {
    export interface Plugins<Types extends SchemaTypes> {
      scopesBeforeInput: ScopesBeforeInput<Types>;
    }
  }
}

/**
 * Checks the scopes of a field before its input is validated. Pothos validates arguments before @pothos/plugin-scope-auth 4.2.1
 * checks scopes, so that a caller without the scope would receive a ValidationError instead of FORBIDDEN.
 */
class ScopesBeforeInput<Types extends SchemaTypes> extends BasePlugin<Types> {
  override wrapArgMappers(
    resolver: GraphQLFieldResolver<unknown, Types['Context'], object> | undefined,
    { argMappers, pothosOptions }: PothosOutputFieldConfig<Types>,
  ): GraphQLFieldResolver<unknown, Types['Context'], object> | undefined {
    const { anyOf, allOf } = (pothosOptions.authScopes ?? {}) as Partial<Record<'anyOf' | 'allOf', readonly Scope[]>>;
    if (!resolver || (!anyOf && !allOf) || argMappers.length === 0) return resolver;
    const checked: Resolver = (parent, args, context, info): unknown => {
      const isMissing = (scope: Scope): boolean => !context.scopes.has(scope);
      if (anyOf?.every(isMissing)) throw refuseCaller(context, anyOf);
      const missing = allOf?.find(isMissing);
      if (missing) throw refuseCaller(context, [missing]);
      return resolver(parent, args, context, info);
    };
    return checked as GraphQLFieldResolver<unknown, Types['Context'], object>;
  }
}

/** Name of the plugin in the options of a schema builder. */
export const SCOPES_BEFORE_INPUT = 'scopesBeforeInput';

SchemaBuilder.registerPlugin(SCOPES_BEFORE_INPUT, ScopesBeforeInput);
