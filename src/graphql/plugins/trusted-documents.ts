import { readFile } from 'node:fs/promises';

class TrustedDocumentsError extends Error {
  override readonly name = 'TrustedDocumentsError';

  constructor(path: string, problem: string) {
    super(`Sluice cannot start: the file ${path} of TRUSTED_DOCUMENTS ${problem}.`);
  }
}

/** Reads a file of documents by id, as relay-compiler and GraphQL Code Generator write it. Throws TrustedDocumentsError. */
export async function readTrustedDocuments(path: string): Promise<ReadonlyMap<string, string>> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new TrustedDocumentsError(path, `cannot be read (${error.code ?? error.message})`);
  });
  const entries = Object.entries(parse(path, text));
  if (!entries.every((entry): entry is [string, string] => typeof entry[1] === 'string')) {
    throw new TrustedDocumentsError(path, 'must map each id to a document as a string');
  }
  return new Map(entries);
}

function parse(path: string, text: string): object {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    // Reported below, as for JSON that is not an object.
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw new TrustedDocumentsError(path, 'must be a JSON object that maps ids to documents');
  }
  return parsed;
}
