import { DuckDBInstance } from '@duckdb/node-api';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

// Reads Parquet files with DuckDB.

export type DuckRow = Readonly<Record<string, unknown>>;

/** Runs statements of SQL in a DuckDB of its own and returns the rows of the last one, with decimals and timestamps as text. */
export async function queryDuckDb(sql: string): Promise<DuckRow[]> {
  const instance = await DuckDBInstance.create(':memory:');
  const connection = await instance.connect();
  try {
    await connection.run(`SET TimeZone = 'UTC'`);
    const reader = await connection.runAndReadAll(sql);
    return reader.getRowObjectsJson();
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
}

/** Passes `read` the path of a folder with the files, and removes it afterwards. */
export async function withFiles<Result>(
  files: readonly Uint8Array[],
  read: (glob: string, paths: readonly string[]) => Promise<Result>,
): Promise<Result> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-parquet-'));
  try {
    const paths = files.map((_, index) => join(folder, `${String(index).padStart(5, '0')}.parquet`));
    await Promise.all(files.map((file, index) => writeFile(paths[index] ?? '', file)));
    return await read(join(folder, '*.parquet'), paths);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Returns the rows of the files in their order. */
export function readParquet(files: readonly Uint8Array[]): Promise<DuckRow[]> {
  return withFiles(files, (glob) => queryDuckDb(`SELECT * FROM read_parquet('${glob}', file_row_number = false)`));
}

/** Returns the type of each column, as DuckDB names it. */
export async function describeParquet(file: Uint8Array): Promise<Readonly<Record<string, unknown>>> {
  const columns = await withFiles([file], (glob) => queryDuckDb(`DESCRIBE SELECT * FROM read_parquet('${glob}')`));
  return Object.fromEntries(columns.map((column) => [String(column['column_name']), column['column_type']]));
}
