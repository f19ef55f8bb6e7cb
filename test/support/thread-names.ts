import { readdir, readFile } from 'node:fs/promises';

/** Whether this machine shows the threads of a process. */
export const SHOWS_THREADS = process.platform === 'linux';

/** Counts the threads of this process with the name. */
export async function countThreads(name: string): Promise<number> {
  const folder = '/proc/self/task';
  const names = await Promise.all(
    (await readdir(folder)).map((id) => readFile(`${folder}/${id}/comm`, 'utf8').catch(() => '')),
  );
  return names.filter((text) => text.trim() === name).length;
}
