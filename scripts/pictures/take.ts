import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { startBrowser } from '../../test/clients/browser.ts';
import { startPicturedServer } from './account.ts';
import { PICTURE_WIDTH, PICTURES } from './list.ts';

/** Takes the pictures of all pages into the folder. Throws if a page has an error, asks another host or is wider than the window. */
export async function takePictures(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  const server = await startPicturedServer();
  try {
    const browser = await startBrowser();
    try {
      const page = await browser.openPage('about:blank');
      for (const { name, path, height, colorScheme, fields = {}, hasChart = false, shows } of PICTURES) {
        await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
        await page.setViewportSize({ width: PICTURE_WIDTH, height });
        await page.goto(`${server.url}/console${path(server.ids)}#key=${server.key}`);
        for (const [label, value] of Object.entries(fields))
          await page.getByRole('textbox', { name: label }).fill(value);
        await page.getByRole('main').getByText(shows).first().waitFor();
        if (hasChart) await page.locator('main canvas').first().waitFor();
        await waitUntilComplete(page);
        const isCut = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
        if (isCut) throw new Error(`${name} is wider than the window.`);
        await page.screenshot({ path: join(folder, `${name}.png`), animations: 'disabled', caret: 'hide' });
      }
      if (browser.complaints.length > 0) throw new Error(browser.complaints.join('\n'));
    } finally {
      await browser.close();
    }
  } finally {
    await server.stop();
  }
}

/** Waits until all parts of the page have their data. */
async function waitUntilComplete(page: Page): Promise<void> {
  await page.waitForFunction(() => document.querySelector('main [role=status][aria-label^=Loading]') === null);
  await page.evaluate(() => document.fonts.ready);
  // Charts are drawn before the second frame.
  await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
}
