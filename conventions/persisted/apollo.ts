// Sends the same query twice with Apollo Client and automatic persisted queries: `node apollo.ts POST` or GET. Prints the requests.
import { ApolloClient, ApolloLink, gql, HttpLink, InMemoryCache } from '@apollo/client';
import { createPersistedQueryLink } from '@apollo/client/link/persisted-queries';
import { createHash } from 'node:crypto';
import { recordingFetch, requests } from './recording-fetch.ts';

const query = gql`
  query ByApollo {
    viewer {
      accountName
    }
  }
`;

const client = new ApolloClient({
  cache: new InMemoryCache(),
  link: ApolloLink.from([
    createPersistedQueryLink({
      sha256: (document: string) => createHash('sha256').update(document).digest('hex'),
      useGETForHashedQueries: process.argv[2] === 'GET',
    }),
    new HttpLink({
      uri: `${process.env['SLUICE_URL']}/graphql`,
      headers: { 'x-api-key': process.env['SLUICE_KEY'] ?? '' },
      fetch: recordingFetch,
    }),
  ]),
});

const results: unknown[] = [];
for (let asked = 0; asked < 2; asked += 1) {
  const { data } = await client.query({ query, fetchPolicy: 'network-only' });
  results.push(data);
}
process.stdout.write(JSON.stringify({ results, requests }));
