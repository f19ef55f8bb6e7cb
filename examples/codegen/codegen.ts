import type { CodegenConfig } from '@graphql-codegen/cli';

const config: CodegenConfig = {
  // The server's own, as it stands; of a server elsewhere it would be its address with a key, or a file out of a release.
  schema: '../../schema.graphql',
  documents: ['src/with-client-preset.ts', 'src/scalars-with-client-preset.ts'],
  // Node runs what is generated as it is.
  importExtension: '.ts',
  generates: {
    'src/generated/': {
      preset: 'client',
      config: {
        // Without these each scalar is `any`, and a Decimal that is added to another becomes text put together, or a float.
        scalars: {
          AgoDuration: 'string',
          CronExpression: 'string',
          DateTime: 'string',
          Decimal: 'string',
          EmailAddress: 'string',
          // An integer within 2^53.
          SafeInt: 'number',
          TimeZone: 'string',
        },
        // A scalar that comes later is an error at the next generation, and no `any`.
        strictScalars: true,
        defaultScalarType: 'unknown',
        enumsAsTypes: true,
        useTypeImports: true,
      },
      presetConfig: {
        fragmentMasking: false,
        // For an operator's TRUSTED_DOCUMENTS: src/generated/persisted-documents.json.
        persistedDocuments: { hashAlgorithm: 'sha256' },
      },
    },
  },
};

export default config;
