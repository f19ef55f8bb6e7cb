import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Plugin } from 'vite';
import { addressOf, type DocsPage, renderDocsPage, sectionsOf } from './docs-pages.ts';
import type { DocsEntry } from './src/pages/docs/docs-entry.ts';

// Makes the pages of docs/ modules of the console: `virtual:docs` is the outline and the functions that load the pages.

const FOLDER = join(import.meta.dirname, '../docs');
const OUTLINE = 'virtual:docs';
const PAGE = `${OUTLINE}/`;
/** Marks an id that only this plugin resolves. */
const OWN = '\0';

async function readPages(): Promise<ReadonlyMap<string, DocsPage & DocsEntry>> {
  const entries = await readdir(FOLDER, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => entry.isFile() && entry.name.endsWith('.md'))
    .map((entry) =>
      join(entry.parentPath, entry.name)
        .slice(FOLDER.length + 1)
        .replaceAll('\\', '/'),
    )
    .sort();
  const known = new Set(files);
  const sections = sectionsOf(await readFile(join(FOLDER, 'README.md'), 'utf8'));
  const pages = await Promise.all(
    files.map(async (file): Promise<[string, DocsPage & DocsEntry]> => {
      const path = addressOf(file);
      const page = renderDocsPage(file, await readFile(join(FOLDER, file), 'utf8'), known);
      return [path, { ...page, path, section: sections.get(path) ?? '' }];
    }),
  );
  return new Map(pages);
}

export function docsPages(): Plugin {
  let pages: Promise<ReadonlyMap<string, DocsPage & DocsEntry>> | undefined;
  return {
    name: 'docs-pages',
    resolveId: (id) => (id === OUTLINE || id.startsWith(PAGE) ? `${OWN}${id}` : null),
    load: async (id) => {
      if (!id.startsWith(`${OWN}${OUTLINE}`)) return null;
      const known = await (pages ??= readPages());
      if (id === `${OWN}${OUTLINE}`) {
        const outline = [...known.values()].map(({ path, title, section, headings }) => ({
          path,
          title,
          section,
          headings,
        }));
        const loaders = [...known.keys()].map(
          (path) => `${JSON.stringify(path)}: () => import(${JSON.stringify(PAGE + path)})`,
        );
        return `export const OUTLINE = ${JSON.stringify(outline)};\nexport const PAGES = {${loaders.join(',\n')}};\n`;
      }
      const page = known.get(id.slice(OWN.length + PAGE.length));
      return page ? `export const html = ${JSON.stringify(page.html)};\n` : null;
    },
  };
}
