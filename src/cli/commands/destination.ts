import { replaceControlCharacters } from '../../terminal/terminal.ts';
import type { ClientContext } from '../command-context.ts';
import { UsageError } from '../command-error.ts';
import type { ClientFlags } from '../endpoint-options.ts';
import { findJobId } from '../find-job.ts';
import { type NameField, type Refusal, toCommandError, USER_ERRORS } from '../user-errors.ts';
import { withClient } from '../with-client.ts';

export interface DestinationTestFlags extends ClientFlags {
  readonly job?: string;
  readonly bucketOwner?: string;
  readonly region?: string;
  readonly encryption?: string;
  readonly kmsKeyId?: string;
}

type Result =
  | { readonly __typename: 'DestinationTest'; readonly key: string }
  | {
      readonly __typename: 'DestinationError';
      readonly reason: string;
      readonly message: string;
      readonly bucketPolicy: string;
    }
  | ({ readonly __typename: string } & Refusal);

const MUTATION = `mutation ($input: TestDestinationInput!) {
  testDestination(input: $input) {
    __typename
    ... on DestinationTest { key }
    ${USER_ERRORS}
    ... on DestinationError { reason bucketPolicy }
  }
}`;

const OPTIONS: Readonly<Record<string, string>> = {
  bucketOwner: '--bucket-owner',
  region: '--region',
  encryption: '--encryption',
  kmsKeyId: '--kms-key-id',
};

const nameOption: NameField = (field) => OPTIONS[field] ?? field;

/** Writes a test object to the destination of a job or to the given one. Calls `onBroken` if the store refused it. */
export async function testDestinationCommand(
  context: ClientContext,
  s3Url: string | undefined,
  flags: DestinationTestFlags,
): Promise<void> {
  const { job, bucketOwner, region, encryption, kmsKeyId } = flags;
  if ((s3Url === undefined) === (job === undefined)) {
    throw new UsageError('Specify a destination: its s3Url, or --job with the name or id of a job.');
  }
  await withClient(context, flags, async (client) => {
    const jobId = job === undefined ? job : await findJobId(client, job);
    const input = { jobId, s3Url, bucketOwner, region, encryption: encryption?.toUpperCase(), kmsKeyId };
    const { testDestination } = await client.request<{ testDestination: Result }>(MUTATION, { input });
    report(context, testDestination, flags.json ?? false);
  });
}

/** Prints the policy to standard output if it is what has to change, so that it can be redirected to a file. */
function report({ terminal, onBroken }: ClientContext, result: Result, json: boolean): void {
  if (!('key' in result) && !('reason' in result)) throw toCommandError(result, nameOption);
  const { __typename, ...fields } = result;
  if (json) terminal.print(`${JSON.stringify(fields)}\n`);
  if ('key' in result) {
    if (!json) {
      terminal.print(`Wrote ${replaceControlCharacters(result.key)}. Runs can write to this destination.\n`);
    }
    return;
  }
  const { reason, message, bucketPolicy } = result;
  const isDenied = reason === 'ACCESS_DENIED';
  const shown = isDenied ? message.replace(/ The policy to attach: .*/s, '') : message;
  terminal.message(`${reason}: ${replaceControlCharacters(shown)}`);
  if (isDenied && !json) terminal.print(`${bucketPolicy}\n`);
  onBroken();
}
