import { graphql } from './graphql.ts';

export const VIEWER = graphql(`
  query Viewer {
    viewer {
      accountName
      key {
        id
        name
        prefix
        scopes
      }
    }
  }
`);
