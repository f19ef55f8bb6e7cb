import type { TypedDocumentNode } from '@graphql-typed-document-node/core';
import { print } from 'graphql';

/** Sends one operation over HTTP. The document determines the types of variables and data. */
export const send = async <Data, Variables>(
  document: TypedDocumentNode<Data, Variables>,
  variables: Variables,
): Promise<Data> => {
  const key = process.env['SLUICE_KEY'];
  if (key === undefined) throw new Error('SLUICE_KEY is not set: the secret of a key with the scopes INGEST and READ.');
  const response = await fetch(`${process.env['SLUICE_URL'] ?? 'http://127.0.0.1:4000'}/graphql`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', 'X-API-Key': key },
    body: JSON.stringify({ query: print(document), variables }),
  });
  const { data, errors } = (await response.json()) as { data?: Data; errors?: readonly { message: string }[] };
  if (errors !== undefined || data === undefined) throw new Error(errors?.map(({ message }) => message).join('\n'));
  return data;
};
