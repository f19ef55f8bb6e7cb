/** The types of each interface and union on which documents spread fragments. The cache needs them to match fragments. */
export const possibleTypes = {
  Node: ['AllocationOperation', 'ApiKey', 'Backfill', 'Delivery', 'Job', 'Run', 'Stream'],
  UserError: ['ConflictError', 'DestinationError', 'LimitExceededError', 'NotFoundError', 'ValidationError'],
  JobConfig: ['Job', 'JobDraft'],
};
