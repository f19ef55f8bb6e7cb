import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startDemoInTerminal } from '../../support/terminal.ts';
import { startBrowser } from '../browser.ts';

const CTRL_C = '\u0003';

test('demo > prints a link to an overview with a finished run, and the drawn usage of a stream is one click away', async () => {
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
    const canvas = page.locator('main canvas').first();
    await canvas.waitFor();
    // The axes have one colour and its shades; each group of the stacked bars has its own.
    const countColours = () =>
      canvas.evaluate((element: HTMLCanvasElement) => {
        const { data } = element.getContext('2d')?.getImageData(0, 0, element.width, element.height) ?? {};
        const colours = new Set<string>();
        for (let at = 0; at < (data?.length ?? 0); at += 4) {
          const [red = 0, green = 0, blue = 0, alpha = 0] = data?.subarray(at, at + 4) ?? [];
          if (alpha === 255 && Math.max(red, green, blue) - Math.min(red, green, blue) > 40) {
            colours.add(`${red} ${green} ${blue}`);
          }
        }
        return colours.size;
      });
    await expect.poll(countColours).toBeGreaterThan(2);
    await browser.takeScreenshot(page, 'console-demo-usage');
    expect(browser.takeComplaints()).toEqual([]);
  } finally {
    type(CTRL_C);
    await demo;
    await browser.close();
    await rm(dataDirectory, { recursive: true, force: true });
  }
});
