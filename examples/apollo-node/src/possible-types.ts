/** What stands behind each interface and union that the documents spread fragments on; the cache cannot know by itself. */
export const possibleTypes = {
  Node: ['AllocationOperation', 'ApiKey', 'Job', 'Run', 'Stream'],
  UserError: ['ConflictError', 'LimitExceededError', 'NotFoundError', 'ValidationError'],
  JobConfig: ['Job', 'JobDraft'],
};
