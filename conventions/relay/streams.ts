import { graphql } from 'react-relay';

// The other connections: streams, the records and operations of a stream, the keys of the account, and all runs from the oldest.

export const streamsQuery = graphql`
  query streamsQuery($ids: [ID!]!) {
    ...streams_list
    ...streams_keys
    ...streams_runs
    nodes(ids: $ids) {
      __typename
      id
      ...streams_records @alias
      ...streams_ledger @alias
    }
  }
`;

export const list = graphql`
  fragment streams_list on Query
  @argumentDefinitions(count: { type: "Int", defaultValue: 20 }, after: { type: "String" })
  @refetchable(queryName: "streamsPageQuery") {
    streams(first: $count, after: $after) @connection(key: "streams_list_streams") {
      totalCount
      edges {
        node {
          id
          name
          granularity
          dimensions
        }
      }
    }
  }
`;

/** Records have no ids: their connection is paginated by the id of their stream. */
export const records = graphql`
  fragment streams_records on Stream
  @argumentDefinitions(count: { type: "Int", defaultValue: 50 }, after: { type: "String" })
  @refetchable(queryName: "streamsRecordsPageQuery") {
    records(first: $count, after: $after) @connection(key: "streams_records_records") {
      edges {
        node {
          timestamp
          elementName
          value
          filter {
            dimension
            values
          }
        }
      }
    }
  }
`;

export const ledger = graphql`
  fragment streams_ledger on Stream
  @argumentDefinitions(count: { type: "Int", defaultValue: 20 }, after: { type: "String" })
  @refetchable(queryName: "streamsLedgerPageQuery") {
    operations(first: $count, after: $after) @connection(key: "streams_ledger_operations") {
      edges {
        node {
          ...streams_operation
        }
      }
    }
  }
`;

export const operation = graphql`
  fragment streams_operation on AllocationOperation @refetchable(queryName: "streamsOperationRefetchQuery") {
    kind
    receivedAt
    insertedRecords
    hiddenRecords
  }
`;

export const keys = graphql`
  fragment streams_keys on Query
  @argumentDefinitions(count: { type: "Int", defaultValue: 20 }, after: { type: "String" })
  @refetchable(queryName: "streamsKeysPageQuery") {
    apiKeys(first: $count, after: $after) @connection(key: "streams_keys_apiKeys") {
      edges {
        node {
          ...streams_key
        }
      }
    }
  }
`;

export const key = graphql`
  fragment streams_key on ApiKey @refetchable(queryName: "streamsKeyRefetchQuery") {
    name
    prefix
    scopes
    revokedAt
  }
`;

/** Paginated backwards. */
export const runs = graphql`
  fragment streams_runs on Query
  @argumentDefinitions(last: { type: "Int", defaultValue: 20 }, before: { type: "String" })
  @refetchable(queryName: "streamsRunsPageQuery") {
    runs(last: $last, before: $before) @connection(key: "streams_runs_runs") {
      edges {
        node {
          ...streams_run
        }
      }
    }
  }
`;

export const run = graphql`
  fragment streams_run on Run @refetchable(queryName: "streamsRunRefetchQuery") {
    status
    jobName
    job {
      id
      jobName
    }
  }
`;
