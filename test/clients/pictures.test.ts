import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MAX_PICTURE_BYTES, PICTURE_WIDTH, PICTURES } from '../../scripts/pictures/list.ts';
import { takePictures } from '../../scripts/pictures/take.ts';
import { linksOf, readPages, targetOf } from '../docs/pages.ts';
import { ROOT } from '../support/source-files.ts';

const STORED = join(ROOT, 'docs/images');
const NAMES = PICTURES.map(({ name }) => `${name}.png`).toSorted();

/** Returns width and height from the header of a PNG file. */
function readDimensions(png: Buffer): { readonly width: number; readonly height: number } {
  expect(png.subarray(1, 4).toString()).toBe('PNG');
  return { width: png.readUInt32BE(16), height: png.readUInt32BE(20) };
}

describe('pictures of the console', () => {
  let taken: string;
  beforeAll(async () => {
    taken = await mkdtemp(join(tmpdir(), 'sluice-taken-'));
  });
  afterAll(() => rm(taken, { recursive: true, force: true }));

  test('are in docs/images, and each is shown on a page', async () => {
    expect((await readdir(STORED)).toSorted()).toEqual(NAMES);
    const shown = (await readPages()).flatMap((page) => linksOf(page).map((link) => targetOf(page, link)?.path ?? ''));
    const pictures = shown.filter((path) => path.startsWith('docs/images/'));
    expect([...new Set(pictures)].toSorted()).toEqual(NAMES.map((name) => `docs/images/${name}`));
  });

  test('have the size of the list, and at most 150 kB', async () => {
    for (const { name, height } of PICTURES) {
      const png = await readFile(join(STORED, `${name}.png`));
      expect({ name, ...readDimensions(png) }).toEqual({ name, width: PICTURE_WIDTH, height });
      expect(png.length, name).toBeLessThanOrEqual(MAX_PICTURE_BYTES);
    }
  });

  test('resemble those that are taken now', async () => {
    await takePictures(taken);
    expect((await readdir(taken)).toSorted()).toEqual(NAMES);
    for (const { name, height } of PICTURES) {
      const now = await readFile(join(taken, `${name}.png`));
      const stored = await stat(join(STORED, `${name}.png`));
      expect({ name, ...readDimensions(now) }).toEqual({ name, width: PICTURE_WIDTH, height });
      // A page that is empty, or has an error, has far fewer bytes. Fonts of other machines change less.
      expect(now.length / stored.size, name).toBeGreaterThan(0.5);
      expect(now.length / stored.size, name).toBeLessThan(2);
    }
  });
});
