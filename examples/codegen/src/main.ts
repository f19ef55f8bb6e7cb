import { addUsage } from './with-client-preset.ts';
import { readUsage } from './with-gql-tada.ts';

console.log(await addUsage());
for (const line of await readUsage()) console.log(line);
