import { join } from 'node:path';
import graphqlPlugin from '@graphql-eslint/eslint-plugin';

// The recommended rules of graphql-eslint for schemas and for Relay. schema.graphql is a contract: rules that would break it
// are disabled, with the reason. Run in the folder of the schema; see README.md.

const recommended = graphqlPlugin.configs['flat/schema-recommended'].rules;
const relay = graphqlPlugin.configs['flat/schema-relay'].rules;

/** Types without an identity, which clients cannot refetch. */
const VALUES = [
  'AllocationReceipt',
  'AllocationRecord',
  'BackfillPreview',
  'BackfillWindow',
  'CorrectionPreview',
  'DeletedJob',
  'DeletedStream',
  'DeliveryCoverage',
  'DestinationTest',
  'DimensionFilter',
  'ElementChange',
  'ExportObject',
  'ExportQuery',
  'IntakeDay',
  'JobCheck',
  'JobDraft',
  'KeyChange',
  'MeterChange',
  'NewApiKey',
  'NextSlot',
  'Overview',
  'PageInfo',
  'ReplaceScope',
  'RescaleFunction',
  'RunChanges',
  'RunError',
  'RunStatusCount',
  'TimeSpan',
  'Usage',
  'UsagePoint',
  'UsageSeries',
  'ValidationIssue',
  'Viewer',
  'WindowPreview',
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
      // Connections, edges and errors have no id.
      '@graphql-eslint/strict-id-in-types': [
        'error',
        { exceptions: { types: VALUES, suffixes: ['Connection', 'Edge', 'Error'] } },
      ],
      // Job.jobName has the name of Amberflo's export jobs. The rule has no exceptions by name.
      '@graphql-eslint/no-typename-prefix': 'off',
      // Keys, operations, records, deliveries, backfills and the runs of one job are paginated forwards only, newest first.
      '@graphql-eslint/relay-arguments': ['error', { includeBoth: false }],
      '@graphql-eslint/relay-edge-types': [
        'error',
        {
          withEdgeSuffix: true,
          // AllocationRecord is not a Node: it is the sum of the live rows of a record key.
          shouldImplementNode: false,
          // Short lists that are always read completely, such as the issues of an input or the objects of a run, need no pages.
          listTypeCanWrapOnlyEdgeType: false,
        },
      ],
    },
  },
];
