import { mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { DataDirectoryHeldError, openDataDirectory } from '../../src/local/data-directory.ts';
import { lockDirectory } from '../../src/local/directory-lock.ts';

describe('data directory', () => {
  let temporary = '';
  let path = '';

  beforeEach(async () => {
    temporary = await mkdtemp(join(tmpdir(), 'sluice-directory-'));
    path = join(temporary, 'made', 'below');
  });
  afterEach(() => rm(temporary, { recursive: true }));

  test('is created so that no other user can list it', async () => {
    const held = await openDataDirectory(path);
    expect(held.path).toBe(path);
    expect((await stat(path)).mode & 0o066).toBe(0);
    await held.close();
  });

  test('is not created behind a broken link or in a file', async () => {
    await symlink(join(temporary, 'nowhere'), join(temporary, 'link'));
    await writeFile(join(temporary, 'file'), '');
    for (const [below, reason] of [
      ['link/data', 'it is not a directory'],
      ['link', 'it is not a directory'],
      ['file/data', 'a part of the path is not a directory'],
    ] as const) {
      await expect(openDataDirectory(join(temporary, below))).rejects.toThrow(`${below} cannot be used (${reason}).`);
    }
  });

  test('rejects a second start with the directory and the process that holds it', async () => {
    const held = await openDataDirectory(path);
    const second = openDataDirectory(path);
    await expect(second).rejects.toThrow(DataDirectoryHeldError);
    await expect(second).rejects.toThrow(`Process ${process.pid} already runs Sluice on DATA_DIR ${path}.`);
    await held.close();
  });

  test('is free after close, which can be called twice', async () => {
    const first = await openDataDirectory(path);
    await first.close();
    const second = await openDataDirectory(path);
    await first.close();
    await expect(openDataDirectory(path)).rejects.toThrow(DataDirectoryHeldError);
    expect(await readFile(join(path, 'pid'), 'utf8')).toBe(`${process.pid}\n`);
    await second.close();
  });

  test('is held by one of eight concurrent starts', async () => {
    const starts = await Promise.allSettled(Array.from({ length: 8 }, () => openDataDirectory(path)));
    const held = starts.flatMap((start) => (start.status === 'fulfilled' ? [start.value] : []));
    expect(held).toHaveLength(1);
    await held[0]?.close();
  });

  test('throws, and is not reported as held, when its lock cannot be opened', () => {
    expect(() => lockDirectory(join(temporary, 'missing'))).toThrow('unable to open database file');
  });
});
