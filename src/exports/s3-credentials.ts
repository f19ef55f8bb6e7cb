import { S3Client } from '@aws-sdk/client-s3';

/** Sources on the network (metadata of an instance, a web identity) respond within this time or not at all. */
const RESOLVE_MS = 15_000;

/**
 * Returns whether the AWS SDK finds credentials in one of its sources: environment, profile, web identity, container, instance.
 * Resolves the credentials without using them.
 */
export async function canResolveS3Credentials(region: string): Promise<boolean> {
  const client = new S3Client({ region });
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), RESOLVE_MS);
  });
  try {
    return await Promise.race([
      client.config.credentials().then(
        () => true,
        // The SDK's message can name files and hosts of this machine, and adds nothing to the documentation.
        () => false,
      ),
      late,
    ]);
  } finally {
    clearTimeout(timer);
    client.destroy();
  }
}
