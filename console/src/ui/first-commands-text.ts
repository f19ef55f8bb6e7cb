// Pure: the commands that fill an empty account.

/** Returns the three commands that send usage, create a job and run it. They contain no key. `at` is the time of the overview. */
export function listFirstCommands(server: string, at: string): { readonly name: string; readonly command: string }[] {
  const yesterday = new Date(Date.parse(at) - 86_400_000).toISOString().slice(0, 10);
  const record = `{"timestamp": "${yesterday}", "granularity": "DAILY", "element-name": "hooli", "value": "1200.5"}`;
  return [
    { name: 'Send a record', command: `echo '${record}' | npx sluice ingest --url ${server} --stream api-calls -` },
    {
      name: 'Create a job',
      command: `npx sluice job create --url ${server} --job-name 'Daily usage' --s3-url s3://customer-bucket/usage --format csv --aggregation-bucket day --range 'ago(1d)' --group-by element --cron '15 6 * * *'`,
    },
    { name: 'Run the job', command: `npx sluice job run 'Daily usage' --url ${server} --watch` },
  ];
}
