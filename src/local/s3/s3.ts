import S3rver from '@20minutes/s3rver';
import type { S3Context } from '@20minutes/s3rver';
import accounts from '@20minutes/s3rver/lib/models/account.js';
import S3Error from '@20minutes/s3rver/lib/models/error.js';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { join, resolve } from 'node:path';
import type { LocalLog } from '../log.ts';
import { makeDirectory } from '../make-directory.ts';
import { isBucketName, OpenFilesStore } from './s3-store.ts';

export interface S3Options {
  /** Made where missing. Holds a folder for each bucket. */
  directory: string;
  accessKeyId: string;
  secretAccessKey: string;
  log: LocalLog;
}

export interface RunningS3 {
  /** Such as `http://127.0.0.1:43210`; the port differs from start to start. Wants path-style. */
  endpoint: string;
  /** The folder of a bucket; below it an object's file has the name of its key. */
  bucketDirectory(name: string): string;
  /**
   * Does nothing if the bucket exists.
   *
   * Throws if the name breaks the rules of general purpose buckets.
   */
  createBucket(name: string): Promise<void>;
  /** Ends open connections too. May be called twice. */
  stop(): Promise<void>;
}

/** The methods that exports and their readers use. s3rver would also accept HTML forms and multipart. */
const METHODS = ['GET', 'HEAD', 'PUT', 'DELETE'];

/**
 * Starts a small S3 on a free port of 127.0.0.1 that keeps its objects as plain files and answers
 * no one but the holder of the key: s3rver itself lets unsigned requests pass.
 */
export async function startS3(options: S3Options): Promise<RunningS3> {
  const { accessKeyId, secretAccessKey, log } = options;
  const directory = resolve(options.directory);
  await makeDirectory(directory, 0o700);

  // s3rver keeps keys for the whole process and begins with a well-known one.
  accounts.DUMMY_ACCOUNT.revokeAccessKey('S3RVER');
  accounts.DUMMY_ACCOUNT.createKeyPair(accessKeyId, secretAccessKey);
  const s3 = new S3rver({
    directory,
    silent: true,
    vhostBuckets: false,
    serviceEndpoint: 'localhost',
  });
  s3.store = s3.context.store = new OpenFilesStore(directory);
  // Last but for the routes.
  s3.middleware.splice(-1, 0, async (context, next) => {
    refuseStrangers(context, accessKeyId);
    if (/^\/[^/]+\/$/.test(context.path)) {
      // s3rver leaves the slash behind a bucket out of what it checks the signature of, and the AWS SDK lists with it.
      // A bucket in the host name plus a path is checked as `/bucket` and `/`.
      context.state.vhost = true;
      context.mountPath = '/';
    }
    await next();
  });
  s3.on('error', (error) => {
    const line = `local S3: ${error.message}`;
    if (error.status !== undefined && error.status < 500) log.debug(line);
    else log.warn(line);
  });

  const server = createServer(s3.callback());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');

  const bucketDirectory = (name: string) => {
    if (!isBucketName(name)) throw new Error(`${JSON.stringify(name)} is not the name of a bucket.`);
    return join(directory, name);
  };
  let stopped: Promise<unknown> | null = null;
  return {
    endpoint: `http://127.0.0.1:${address.port}`,
    bucketDirectory,
    async createBucket(name) {
      await makeDirectory(bucketDirectory(name), 0o700);
    },
    async stop() {
      if (!stopped) {
        stopped = once(server, 'close');
        server.close();
        server.closeAllConnections();
        s3.logger.close();
      }
      await stopped;
    },
  };
}

/**
 * Whether a request is signed at all, with the key of this server; whether the signature is right,
 * s3rver checks. The host keeps web pages out that point a name of theirs at 127.0.0.1.
 */
function refuseStrangers(context: S3Context, accessKeyId: string): void {
  const { query } = context;
  const signed =
    query['X-Amz-Algorithm'] === 'AWS4-HMAC-SHA256'
      ? query['X-Amz-Credential']
      : /^AWS4-HMAC-SHA256 .*?Credential=([^,\s]+)/.exec(context.get('authorization'))?.[1];
  if (typeof signed !== 'string' || !['127.0.0.1', 'localhost'].includes(context.hostname)) {
    throw new S3Error('AccessDenied', 'Access Denied');
  }
  if (!signed.startsWith(`${accessKeyId}/`)) {
    throw new S3Error('InvalidAccessKeyId', 'The access key is not that of this server.');
  }
  if (!METHODS.includes(context.method) || context.get('x-amz-copy-source') !== '') {
    throw new S3Error('NotImplemented', 'The local S3 takes GET, HEAD, PUT and DELETE of objects.');
  }
}
