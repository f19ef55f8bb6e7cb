import { createHash } from 'node:crypto';
import type { Put } from './strict-s3.ts';

interface ManifestText {
  readonly state: string;
  readonly objects?: readonly {
    readonly key: string;
    readonly rows: number;
    readonly bytes: number;
    readonly sha256: string;
    readonly roundedRows?: number;
  }[];
  readonly totals?: {
    readonly objects: number;
    readonly rows: number;
    readonly bytes: number;
    readonly roundedRows?: number;
  };
}

function sha256(body: Buffer): string {
  return createHash('sha256').update(body).digest('hex');
}

/**
 * Returns, as sentences, every inconsistency that a reader of the bucket could have seen at any time. After each put, in
 * order, the objects in a window's newest manifest must have the bytes and SHA-256 of the manifest if it says "complete".
 */
export function brokenPromises(puts: readonly Put[]): string[] {
  const problems: string[] = [];
  const newest = new Map<string, Put>();
  const complete = new Map<string, NonNullable<ManifestText['objects']>>();
  const check = (manifest: string, order: number): void => {
    for (const object of complete.get(manifest) ?? []) {
      const body = newest.get(`${manifest.split('\n')[0]}\n${object.key}`)?.body;
      if (!body) problems.push(`put ${order}: ${manifest} names ${object.key}, which does not exist`);
      else if (sha256(body) !== object.sha256 || body.length !== object.bytes)
        problems.push(`put ${order}: ${manifest} is complete, but ${object.key} has other bytes`);
    }
  };
  for (const put of puts) {
    const place = `${put.bucket}\n${put.key}`;
    newest.set(place, put);
    if (!put.key.endsWith('.manifest.json')) {
      for (const [manifest, objects] of complete) {
        if (objects.some(({ key }) => `${manifest.split('\n')[0]}\n${key}` === place)) check(manifest, put.order);
      }
      continue;
    }
    const manifest = JSON.parse(put.body.toString()) as ManifestText;
    if (manifest.state !== 'complete') {
      complete.delete(place);
      continue;
    }
    const objects = manifest.objects ?? [];
    const sum = (of: (object: (typeof objects)[number]) => number): number =>
      objects.reduce((total, object) => total + of(object), 0);
    const totals = {
      objects: objects.length,
      rows: sum((one) => one.rows),
      bytes: sum((one) => one.bytes),
      // Only in Parquet.
      ...(manifest.totals?.roundedRows !== undefined && { roundedRows: sum((one) => one.roundedRows ?? Number.NaN) }),
    };
    if (JSON.stringify(totals) !== JSON.stringify(manifest.totals))
      problems.push(`put ${put.order}: the totals of ${place} are not those of its objects`);
    complete.set(place, objects);
    check(place, put.order);
  }
  return problems;
}
