import {
  type DocumentNode,
  type GraphQLError,
  type GraphQLSchema,
  NoSchemaIntrospectionCustomRule,
  specifiedRules,
  validate,
} from 'graphql';
import type { Plugin } from 'graphql-yoga';
import { truncate } from '../../lib/truncate.ts';

const MAX_MESSAGE = 1000;
const WITHOUT_INTROSPECTION = [...specifiedRules, NoSchemaIntrospectionCustomRule];

/**
 * Validates documents and gives the errors their code. Without introspection, errors also suggest no names of types and
 * fields.
 */
export function useValidationRules(introspection: boolean): Plugin {
  const rules = introspection ? specifiedRules : WITHOUT_INTROSPECTION;

  function validateDocument(schema: GraphQLSchema, document: DocumentNode): readonly GraphQLError[] {
    // An error prints the part of the document that it is about. A long document, parsed without locations, gets one error.
    const maxErrors = document.loc === undefined ? 1 : 100;
    return validate(schema, document, rules, { hideSuggestions: !introspection, maxErrors });
  }

  return {
    onValidate: ({ setValidationFn }) => {
      setValidationFn(validateDocument);
      return ({ valid, result }) => {
        if (valid) return;
        for (const error of result) {
          error.message = truncate(error.message, MAX_MESSAGE);
          Object.assign(error.extensions, { code: 'GRAPHQL_VALIDATION_FAILED' });
        }
      };
    },
    onExecute: ({ args }) => {
      Object.assign(args, { hideSuggestions: !introspection });
    },
  };
}
