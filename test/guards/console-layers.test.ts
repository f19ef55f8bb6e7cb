import { expect, test } from 'vitest';
import { readSourceFiles } from '../support/source-files.ts';

/** From the top: a file imports files of lower layers or of its own folder. */
const LAYERS = ['main', 'app', 'shell', 'pages', 'ui', 'api', 'theme'];

const files = await readSourceFiles('console/src');

/** `console/src/pages/jobs/job-form.tsx` belongs to the layer `pages` and the part `pages/jobs`. */
const layerOf = (path: string): number => LAYERS.indexOf(path.split('/')[2]?.replace(/\.tsx?$/, '') ?? '');
const partOf = (path: string): string => {
  const [, , layer = '', area = ''] = path.split('/');
  return layer === 'pages' ? `${layer}/${area}` : layer;
};

test('console > imports go in one direction, and pages of one area do not import those of another', () => {
  const wrong = files.flatMap((file) =>
    file.imports.flatMap(({ path }) => {
      if (path === null || path.endsWith('.generated.ts') || path.endsWith('.css')) return [];
      if (!path.startsWith('console/src/')) return [`${file.path} imports ${path}`];
      return partOf(path) === partOf(file.path) || layerOf(path) > layerOf(file.path)
        ? []
        : [`${file.path} imports ${path}`];
    }),
  );
  expect(wrong).toEqual([]);
  expect(files.filter(({ path }) => layerOf(path) === -1).map(({ path }) => path)).toEqual([]);
  expect(files.length).toBeGreaterThan(20);
});
