// Pure: the input that tests a destination: that of a job, or one that is given.
import { z } from 'zod';
import { optional, type HasFields, withRules } from '../validation/zod-issues.ts';
import { isDestinationProblem, parseS3Url } from './destination.ts';
import { type JobRules, validateStoreOptions } from './settings-schema.ts';
import { jobFields } from './settings.ts';

const { bucketOwner, region, encryption, kmsKeyId } = jobFields;

/** Fields of a destination that is not that of a job. */
export const destinationFields = {
  s3Url: optional(z.string(), null).meta({
    description: 'Destination to test, in the form that a job has. Excludes jobId.',
  }),
  bucketOwner,
  region,
  encryption,
  kmsKeyId,
} as const;

const STORE_OPTIONS = ['bucketOwner', 'region', 'encryption', 'kmsKeyId'] as const;

const shape = z.object({ jobId: optional(z.string(), null), ...destinationFields });
type Fields = z.output<typeof shape>;

/** Either `jobId` or `s3Url` is set, the other is null. */
export type DestinationTestInput = Fields;

export function destinationTestInput({ findRegionProblem }: Pick<JobRules, 'findRegionProblem'>) {
  return withRules(shape, (input: Fields, has: HasFields<Fields>, issues) => {
    if (has('jobId', 's3Url') && (input.jobId === null) === (input.s3Url === null)) {
      issues.add([], 'ONE_OF', 'Set either jobId or s3Url.');
    } else if (has('jobId') && input.jobId !== null) {
      for (const field of STORE_OPTIONS) {
        if (has(field) && input[field] !== null) {
          issues.add([field], 'ONE_OF', 'Is only allowed with s3Url. With jobId, the settings of the job apply.');
        }
      }
    }
    const destination = has('s3Url') && input.s3Url !== null ? parseS3Url(input.s3Url) : null;
    if (destination !== null && isDestinationProblem(destination)) {
      issues.add(['s3Url'], destination.code, destination.message);
    }
    validateStoreOptions(input, has, findRegionProblem, issues);
  });
}
