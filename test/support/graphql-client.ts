import type { TestServer } from './server.ts';

/** Creates a client of the GraphQL API at a URL with a default key. */
export function createGraphQLClient(url: string, key: string): Pick<TestServer, 'request' | 'graphql'> {
  const request: TestServer['request'] = async (query, variables, withKey = key) => {
    const response = await fetch(`${url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...(withKey !== null && { 'x-api-key': withKey }) },
      body: JSON.stringify({ query, variables }),
    });
    return { ...((await response.json()) as object), status: response.status };
  };
  return {
    request,
    graphql: async (query, variables, withKey = key) => {
      const answer = await request(query, variables, withKey);
      if (answer.errors || !answer.data) throw new Error(JSON.stringify(answer.errors ?? answer));
      return answer.data as never;
    },
  };
}
