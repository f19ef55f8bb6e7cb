import S3Error from '@20minutes/s3rver/lib/models/error.js';
import S3Object from '@20minutes/s3rver/lib/models/object.js';
import type { Metadata } from '@20minutes/s3rver/lib/models/object.js';
import FilesystemStore from '@20minutes/s3rver/lib/stores/filesystem.js';
import type { Listing, ListOptions } from '@20minutes/s3rver/lib/stores/filesystem.js';
import { randomUUID } from 'node:crypto';
import { open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import { makeDirectory } from '../make-directory.ts';

/** No bucket's name begins with a dot. */
const BOOKKEEPING = '.s3';

/** Whether a name can be a bucket's and, with that, a folder's: never `..`, a path or a dot file. */
export function isBucketName(name: string): boolean {
  return /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(name) && !name.includes('..');
}

/**
 * The store of s3rver with objects that a person can open: `<directory>/<bucket>/<key>` is the file,
 * nothing else lies in the folder of a bucket. s3rver's own form adds `._S3rver_object` to the name
 * and two files beside it; they lie below `<directory>/.s3/<bucket>/` here. An object appears whole
 * and on disk, or not at all; s3rver writes into the file that readers see.
 */
export class OpenFilesStore extends FilesystemStore {
  override getResourcePath(bucket: string, key: string | undefined, resource: string): string {
    const segments = key ? key.split('/') : [];
    if (segments.some((segment) => ['', '.', '..'].includes(segment) || segment.includes('\0'))) {
      throw new S3Error('InvalidArgument', 'The key has an empty segment, "." or "..".');
    }
    if (key && resource === 'object') return join(this.rootDirectory, bucket, ...segments);
    return super.getResourcePath(join(BOOKKEEPING, bucket), key, resource);
  }

  override async getBucket(bucket: string): Promise<{ name: string } | null> {
    return isBucketName(bucket) ? super.getBucket(bucket) : null;
  }

  override async existsObject(bucket: string, key: string): Promise<boolean> {
    const found = await stat(this.getResourcePath(bucket, key, 'object')).catch(() => null);
    return found?.isFile() ?? false;
  }

  override async getMetadata(bucket: string, key: string): Promise<Metadata> {
    const file = await stat(this.getResourcePath(bucket, key, 'object'));
    // s3rver takes this code for "no such key".
    if (!file.isFile()) throw Object.assign(new Error('a folder, not an object'), { code: 'ENOENT' });
    const [stored, md5] = await Promise.all(
      ['metadata.json', 'object.md5'].map((resource) =>
        readFile(this.getResourcePath(bucket, key, resource), 'utf8').catch(() => null),
      ),
    );
    return {
      ...(stored ? JSON.parse(stored) : {}),
      // A file that was copied into the folder has no MD5; an ETag need not be one.
      etag: JSON.stringify(md5 ?? `${file.size}-${Math.floor(file.mtimeMs)}`),
      'last-modified': file.mtime.toUTCString(),
      'content-length': file.size,
    };
  }

  override async putMetadata(bucket: string, key: string, metadata: Metadata, md5?: string): Promise<void> {
    await makeDirectory(dirname(this.getResourcePath(bucket, key, 'metadata.json')));
    await super.putMetadata(bucket, key, metadata, md5);
  }

  override async putObject(object: S3Object): Promise<{ size: number; md5: string }> {
    const { bucket, key, content, metadata } = object;
    const file = this.getResourcePath(bucket, key, 'object');
    const unfinished = join(this.rootDirectory, BOOKKEEPING, `unfinished-${randomUUID()}`);
    try {
      await makeDirectory(dirname(unfinished));
      const [size, md5] = await this.putContent(unfinished, content);
      await flush(unfinished);
      await makeDirectory(dirname(file));
      await rename(unfinished, file);
      await this.putMetadata(bucket, key, metadata, md5);
      return { size, md5 };
    } catch (error) {
      await rm(unfinished, { force: true });
      throw explainFileName(error);
    }
  }

  override async listObjects(bucket: string, options: ListOptions): Promise<Listing> {
    const { delimiter = '', startAfter = '', prefix = '', maxKeys = Infinity } = options;
    const objects: S3Object[] = [];
    const commonPrefixes = new Set<string>();
    for (const key of await this.#keys(bucket)) {
      if (key <= startAfter || !key.startsWith(prefix)) continue;
      const end = delimiter ? key.indexOf(delimiter, prefix.length) : -1;
      if (end >= 0) {
        commonPrefixes.add(key.slice(0, end + delimiter.length));
      } else if (objects.length < maxKeys) {
        objects.push(new S3Object(bucket, key, null, await this.getMetadata(bucket, key)));
      } else {
        return { objects, commonPrefixes: [...commonPrefixes], isTruncated: true };
      }
    }
    return { objects, commonPrefixes: [...commonPrefixes], isTruncated: false };
  }

  async #keys(bucket: string): Promise<string[]> {
    const folder = this.getBucketPath(bucket);
    const entries = await readdir(folder, { recursive: true, withFileTypes: true });
    return entries
      .filter((entry) => entry.isFile())
      .map((entry) => relative(folder, join(entry.parentPath, entry.name)).split(sep).join('/'))
      .sort((a, b) => (a < b ? -1 : 1));
  }
}

async function flush(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** S3 has no folders. A key that the file system cannot store is rejected with an error that clients do not retry. */
function explainFileName(error: unknown): unknown {
  const code = error instanceof Error && 'code' in error ? error.code : null;
  if (code === 'ENAMETOOLONG') {
    return new S3Error('InvalidArgument', 'A segment of the key is longer than a file name can be.');
  }
  if (code === 'EEXIST' || code === 'EISDIR' || code === 'ENOTDIR' || code === 'ENOTEMPTY') {
    return new S3Error('InvalidArgument', 'A segment of the key is both a folder and an object.');
  }
  return error;
}
