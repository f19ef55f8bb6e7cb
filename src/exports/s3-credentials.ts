import { S3Client } from '@aws-sdk/client-s3';

/** Sources on the network (an instance's metadata, a web identity) answer within this time or not at all. */
const RESOLVE_MS = 15_000;

/**
 * Whether the AWS SDK finds credentials where it looks for them: environment, profile, web identity, container, instance.
 * They are resolved and not used.
 */
export const canResolveS3Credentials = async (region: string): Promise<boolean> => {
  const client = new S3Client({ region });
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), RESOLVE_MS);
  });
  try {
    return await Promise.race([
      client.config.credentials().then(
        () => true,
        // The SDK's message can name files and hosts of this machine, and adds nothing to the documentation of AWS.
        () => false,
      ),
      late,
    ]);
  } finally {
    clearTimeout(timer);
    client.destroy();
  }
};
