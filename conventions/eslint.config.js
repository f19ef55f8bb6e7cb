import { join } from 'node:path';
import graphqlPlugin from '@graphql-eslint/eslint-plugin';

// The rules that graphql-eslint recommends for schemas, and those of Relay. schema.graphql is a contract: where a rule asks
// for what would break it, the rule gives way, with the reason. Run where the schema lies; see README.md.

const recommended = graphqlPlugin.configs['flat/schema-recommended'].rules;
const relay = graphqlPlugin.configs['flat/schema-relay'].rules;

/** Values, not things: they have no life of their own by which a client could ask for them again. */
const VALUES = [
  'AllocationReceipt',
  'AllocationRecord',
  'DeletedJob',
  'DeletedStream',
  'DimensionFilter',
  'ExportObject',
  'ExportQuery',
  'JobCheck',
  'JobDraft',
  'NewApiKey',
  'PageInfo',
  'RescaleFunction',
  'RunError',
  'Usage',
  'UsagePoint',
  'UsageSeries',
  'ValidationIssue',
  'Viewer',
];

export default [
  {
    files: ['schema.graphql'],
    languageOptions: {
      parser: graphqlPlugin.parser,
      parserOptions: { graphQLConfig: { schema: join(process.cwd(), 'schema.graphql') } },
    },
    plugins: { '@graphql-eslint': graphqlPlugin },
    rules: {
      ...recommended,
      ...relay,
      // Relay's own connections and edges have none, and an error is a part of one answer.
      '@graphql-eslint/strict-id-in-types': [
        'error',
        { exceptions: { types: VALUES, suffixes: ['Connection', 'Edge', 'Error'] } },
      ],
      // Job.jobName is called as in the export jobs that people bring along; the rule knows no exceptions by name.
      '@graphql-eslint/no-typename-prefix': 'off',
      // Keys, operations, records and the runs of one job go forward only: newest first is how they are read.
      '@graphql-eslint/relay-arguments': ['error', { includeBoth: false }],
      '@graphql-eslint/relay-edge-types': [
        'error',
        {
          withEdgeSuffix: true,
          // AllocationRecord is no Node: it is what the live rows of a key add up to, and has no row of its own.
          shouldImplementNode: false,
          // Short lists that are always read whole, such as the issues of an input or the objects of a run, need no pages.
          listTypeCanWrapOnlyEdgeType: false,
        },
      ],
    },
  },
];
