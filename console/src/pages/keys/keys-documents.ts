import { graphql, type ResultOf } from '../../api/graphql.ts';
import { USER_ERROR } from '../../api/use-action.ts';

const API_KEY = graphql(`
  fragment KeyParts on ApiKey {
    id
    name
    prefix
    scopes
    createdAt
    lastUsedAt
    revokedAt
  }
`);

export const LIST_KEYS = graphql(
  `
    query ListKeys($first: Int, $after: String, $search: String) {
      apiKeys(first: $first, after: $after, search: $search) {
        edges {
          node {
            ...KeyParts
          }
        }
        pageInfo {
          hasNextPage
          endCursor
        }
      }
    }
  `,
  [API_KEY],
);

export const CREATE_KEY = graphql(
  `
    mutation CreateKey($input: CreateApiKeyInput!) {
      createApiKey(input: $input) {
        __typename
        ... on NewApiKey {
          secret
          key {
            ...KeyParts
          }
        }
        ...UserErrorParts
      }
    }
  `,
  [API_KEY, USER_ERROR],
);

export const REVOKE_KEY = graphql(
  `
    mutation RevokeKey($id: ID!) {
      revokeApiKey(id: $id) {
        __typename
        ... on ApiKey {
          id
          revokedAt
        }
        ...UserErrorParts
      }
    }
  `,
  [USER_ERROR],
);

export type Key = ResultOf<typeof LIST_KEYS>['apiKeys']['edges'][number]['node'];
