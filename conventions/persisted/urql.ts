// Sends the same query twice with urql and automatic persisted queries: `node urql.ts POST` or GET. Prints the requests.
import { Client, fetchExchange, gql } from '@urql/core';
import { persistedExchange } from '@urql/exchange-persisted';
import { recordingFetch, requests } from './recording-fetch.ts';

const query = gql`
  query ByUrql {
    viewer {
      accountName
    }
  }
`;

const client = new Client({
  url: `${process.env['SLUICE_URL']}/graphql`,
  exchanges: [persistedExchange({ preferGetForPersistedQueries: process.argv[2] === 'GET' }), fetchExchange],
  preferGetMethod: false,
  fetchOptions: { headers: { 'x-api-key': process.env['SLUICE_KEY'] ?? '' } },
  fetch: recordingFetch,
});

const results: unknown[] = [];
for (let asked = 0; asked < 2; asked += 1) {
  const { data, error } = await client.query(query, {}).toPromise();
  if (error) throw new Error(error.message);
  results.push(data);
}
process.stdout.write(JSON.stringify({ results, requests }));
