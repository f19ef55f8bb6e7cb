// Opens the files of an export in the format of its job.
import { promisify } from 'node:util';
import { gzip, zstdCompress } from 'node:zlib';
import packageJson from '../../package.json' with { type: 'json' };
import { encodeGlobalId } from '../lib/global-ids.ts';
import { isElement } from '../usage/sums-query.ts';
import { buildFraming, emptyTextFile, type FileFormat, parseExportKey } from './formats.ts';
import type { ManifestRun } from './manifest.ts';
import { encodeEmptyParquet } from './parquet-encoder.ts';
import type { ParquetFormat } from './parquet-schema.ts';
import { ParquetFile, THREAD_BYTES } from './parquet-file.ts';
import { type FileBuilder, openTextFile, ZSTD_OPTIONS } from './text-file.ts';

const compressGzip = promisify(gzip);
const compressZstd = promisify(zstdCompress);

/** Returns the bytes of memory that building a file takes. A compressed part is reserved as large as its rows, the worst case. */
export function memoryOf({ extension }: FileFormat, partBytes: number): number {
  return extension === 'parquet' ? partBytes + THREAD_BYTES : partBytes;
}

/** Opens a builder of files of at most `maxBytes` before compression. */
export function openFile(
  run: ManifestRun,
  format: FileFormat,
  groupBy: readonly string[],
  maxBytes: number,
): FileBuilder {
  return format.extension === 'parquet'
    ? new ParquetFile(parquetFormatOf(run, format, groupBy), maxBytes)
    : openTextFile(buildFraming(format, groupBy), format.compression, maxBytes);
}

/** Returns the file without rows for a key that an earlier run wrote, perhaps in another format; null if no export has this key. */
export async function emptyFileOf(
  key: string,
  run: ManifestRun,
  format: FileFormat,
  groupBy: readonly string[],
): Promise<Buffer | null> {
  const keyFormat = parseExportKey(key, format);
  if (!keyFormat) return null;
  if (keyFormat.extension === 'parquet') return encodeEmptyParquet(parquetFormatOf(run, keyFormat, groupBy));
  const text = emptyTextFile(keyFormat, groupBy);
  if (keyFormat.compression === 'NONE') return text;
  return keyFormat.compression === 'GZIP' ? compressGzip(text) : compressZstd(text, ZSTD_OPTIONS);
}

/** The metadata have nothing that differs between two runs of a window: run, watermark and time are in the manifest. */
function parquetFormatOf(run: ManifestRun, format: FileFormat, groupBy: readonly string[]): ParquetFormat {
  return {
    groups: groupBy.map((name) => ({ name, isElement: isElement(name) })),
    compression: format.compression,
    metadata: [
      { key: 'sluice.job_id', value: encodeGlobalId('Job', run.jobId) },
      { key: 'sluice.window_start', value: run.windowStart.toISOString() },
      { key: 'sluice.window_end', value: run.windowEnd.toISOString() },
    ],
    // In the form that readers parse: application, "version" and its number.
    createdBy: `Sluice version ${packageJson.version}`,
  };
}
