import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startDemoInTerminal } from '../../support/terminal.ts';
import { startBrowser } from '../browser.ts';

const CTRL_C = '\u0003';

test('demo > prints a link to an overview with a finished run, and a stream is one click away', async () => {
  const dataDirectory = await mkdtemp(join(tmpdir(), 'sluice-demo-'));
  // If other users could not enter the folder, root's PostgreSQL would use another one, which would not be removed.
  await chmod(dataDirectory, 0o711);
  const browser = await startBrowser();
  const linked = Promise.withResolvers<string>();
  let type: (keys: string) => void = () => {};
  const demo = startDemoInTerminal({
    columns: 300,
    limitMs: 240_000,
    settings: { DATA_DIR: dataDirectory, PORT: '0', NO_COLOR: '1' },
    onOutput: (all, typeKeys) => {
      type = typeKeys;
      const link = /^ *Console +(\S+#key=\S+)\r?$/m.exec(all)?.[1];
      if (link !== undefined) linked.resolve(link);
    },
  });
  void demo.then(({ stdout }) => linked.reject(new Error(`The demo ended: ${stdout}`)));
  try {
    const page = await browser.openPage(await linked.promise);
    await page.getByRole('table', { name: 'Latest runs' }).getByText('Succeeded').first().waitFor();
    await browser.takeScreenshot(page, 'console-demo-overview');
    await page.getByRole('link', { name: 'demo-api-calls' }).click();
    await page.waitForURL('**/console/streams/demo-api-calls');
    expect(browser.takeComplaints()).toEqual([]);
  } finally {
    type(CTRL_C);
    await demo;
    await browser.close();
    await rm(dataDirectory, { recursive: true, force: true });
  }
});
