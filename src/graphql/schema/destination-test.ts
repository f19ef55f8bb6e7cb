import { ConflictError, DestinationError, NotFoundError, ValidationError } from '../../errors/errors.ts';
import { destinationFields, destinationTestInput } from '../../jobs/destination-test-input.ts';
import type { JobRules } from '../../jobs/settings-schema.ts';
import { parseGlobalId } from '../../lib/global-ids.ts';
import { descriptionOf } from '../../validation/zod-issues.ts';
import type { Builder } from './builder.ts';
import { accountOf } from './context.ts';
import type { Refs } from './refs.ts';

export function addDestinationTest(builder: Builder, refs: Refs, rules: JobRules): void {
  const input = builder.inputType('TestDestinationInput', {
    description: 'Destination to test: that of a job, or one that is given. Exactly one of jobId and s3Url is set.',
    fields: (t) => ({
      jobId: t.id({ description: 'Id of the job whose destination is tested.' }),
      s3Url: t.string({ description: descriptionOf(destinationFields.s3Url) }),
      bucketOwner: t.string({ description: `${descriptionOf(destinationFields.bucketOwner)} Only with s3Url.` }),
      region: t.string({ description: `${descriptionOf(destinationFields.region)} Only with s3Url.` }),
      encryption: t.field({
        type: refs.serverSideEncryption,
        description: `${descriptionOf(destinationFields.encryption)} Only with s3Url.`,
      }),
      kmsKeyId: t.string({ description: `${descriptionOf(destinationFields.kmsKeyId)} Only with s3Url.` }),
    }),
  });
  const tested = builder.objectRef<{ readonly key: string }>('DestinationTest').implement({
    description: 'Destination that accepted an object.',
    fields: (t) => ({
      key: t.exposeString('key', { description: 'Object key that was written. The object can be deleted.' }),
    }),
  });
  builder.mutationField('testDestination', (t) =>
    t.field({
      type: tested,
      authScopes: { anyOf: ['JOBS'] },
      description:
        'Writes the object `_sluice-destination-test.json` below the path of a destination, with its placeholders replaced for the current window, exactly as a run would, with `s3:PutObject` alone. Like the first object of a run, it makes the account the owner of the bucket. An account can test 100 destinations in a burst, and 1 per second afterwards.',
      args: {
        input: t
          .arg({ type: input, required: true, description: 'Destination to test.' })
          .validate(destinationTestInput(rules)),
      },
      errors: {
        types: [DestinationError, ValidationError, NotFoundError, ConflictError],
        union: {
          name: 'TestDestinationResult',
          description: 'Key of the object that was written, or the error that a run would have.',
        },
      },
      resolve: (_, { input: { jobId, ...destination } }, context) =>
        context.services.destinationTests.run(
          context.services.db,
          accountOf(context),
          { ...destination, jobId: jobId === null ? null : parseGlobalId('Job', jobId) },
          context.ended?.() ?? [],
        ),
    }),
  );
}
