// Pure: the operations that stand ready in GraphiQL.

export const graphiqlTabs = (localKey: string | null): { query: string; headers: string }[] => {
  const headers = JSON.stringify({ 'X-API-Key': localKey ?? 'your key' }, null, 2);
  return [{ query: '{ viewer { accountName } }', headers }];
};
