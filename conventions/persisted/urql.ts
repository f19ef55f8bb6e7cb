// Asks the same twice with urql, which sends ids in the place of documents: `node urql.ts POST` or GET. Says what left.
import { Client, fetchExchange, gql } from '@urql/core';
import { persistedExchange } from '@urql/exchange-persisted';
import { told, toldFetch } from './told-fetch.ts';

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
  fetch: toldFetch,
});

const answers: unknown[] = [];
for (let asked = 0; asked < 2; asked += 1) {
  const { data, error } = await client.query(query, {}).toPromise();
  if (error) throw new Error(error.message);
  answers.push(data);
}
process.stdout.write(JSON.stringify({ answers, told }));
