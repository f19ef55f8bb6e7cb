import type { CodegenConfig } from '@graphql-codegen/cli';

const config: CodegenConfig = {
  // For another server, use its address with a key, or the file of a release.
  schema: '../../schema.graphql',
  documents: ['src/with-client-preset.ts', 'src/scalars-with-client-preset.ts'],
  // Node runs the generated files without a build.
  importExtension: '.ts',
  generates: {
    'src/generated/': {
      preset: 'client',
      config: {
        // Without these types, each scalar is `any`, and adding two Decimals concatenates text or rounds to a double.
        scalars: {
          AgoDuration: 'string',
          CronExpression: 'string',
          DateTime: 'string',
          Decimal: 'string',
          EmailAddress: 'string',
          // An integer up to 2^53.
          SafeInt: 'number',
          TimeZone: 'string',
        },
        // A new scalar is an error instead of `any`.
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
