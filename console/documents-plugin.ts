import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { TypedDocumentNode } from 'urql';
import type { Plugin } from 'vite';
import { textOf } from './src/api/sent-text.ts';

// Adds documents.json to the build: the texts of all documents that the console sends. A server with TRUSTED_DOCUMENTS_ONLY runs them.

const FOLDER = join(import.meta.dirname, 'src');
/** Files that export all documents. */
const DOCUMENTS = '-documents.ts';

function isOperation(value: unknown): value is TypedDocumentNode {
  if (typeof value !== 'object' || value === null || !('definitions' in value)) return false;
  return (value as TypedDocumentNode).definitions.some(({ kind }) => kind === 'OperationDefinition');
}

/** Returns the texts of the documents in the files `*-documents.ts`, sorted. */
export async function listSentDocuments(): Promise<string[]> {
  const entries = await readdir(FOLDER, { recursive: true });
  const modules = await Promise.all(
    entries
      .filter((path) => path.endsWith(DOCUMENTS))
      .map((path) => import(pathToFileURL(join(FOLDER, path)).href) as Promise<Readonly<Record<string, unknown>>>),
  );
  const texts = modules.flatMap((module) => Object.values(module).filter(isOperation).map(textOf));
  return [...new Set(texts)].toSorted();
}

export function sentDocuments(): Plugin {
  return {
    name: 'sent-documents',
    apply: 'build',
    async generateBundle() {
      const source = `${JSON.stringify(await listSentDocuments(), null, 2)}\n`;
      this.emitFile({ type: 'asset', fileName: 'documents.json', source });
    },
  };
}
