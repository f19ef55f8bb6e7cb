import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { chromium, type Page } from 'playwright-core';
import { findProgram } from './debian-program.ts';

// A headless Chromium that reaches this machine alone, and tells of everything that a person with its console open
// would frown at.

const SCREENSHOTS = join(import.meta.dirname, 'screenshots');

const LOOPBACK = /^(?:127\.0\.0\.1|localhost|\[::1\])$/;
/** Never leave the page. */
const WITHIN_PAGE = new Set(['blob:', 'data:', 'about:']);

const isFromHere = (url: string): boolean => {
  const { protocol, hostname } = new URL(url);
  return WITHIN_PAGE.has(protocol) || LOOPBACK.test(hostname);
};

export interface TestBrowser {
  openPage(url: string): Promise<Page>;
  /** What pages asked of other machines (and were refused), threw, or wrote to their consoles as errors. */
  readonly complaints: readonly string[];
  /** Those, for a test that expects some: they are nobody's concern afterwards. */
  takeComplaints(): string[];
  /** Into a folder that git ignores, to be looked at. */
  takeScreenshot(page: Page, name: string): Promise<void>;
  close(): Promise<void>;
}

/** The one that CHROMIUM names, else `chromium` on the PATH. */
const findChromium = async (): Promise<string> => {
  const program = process.env['CHROMIUM'] || 'chromium';
  const found = await findProgram(program);
  if (found !== null) return found;
  throw new Error(
    `There is no ${program} to open pages with. On Debian and Ubuntu, \`apt-get install chromium\` installs it; ` +
      'elsewhere, say with CHROMIUM where a Chromium or Chrome is.',
  );
};

export const startBrowser = async (): Promise<TestBrowser> => {
  const browser = await chromium.launch({
    executablePath: await findChromium(),
    // No name but those of this machine is found, by whatever part of the browser it is asked for.
    args: ['--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost, EXCLUDE [::1]'],
  });
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, locale: 'en-GB' });
  context.setDefaultTimeout(20_000);
  const complaints: string[] = [];
  await context.route(
    (url) => !isFromHere(url.href),
    async (route) => {
      complaints.push(`asked for ${route.request().url()}`);
      await route.abort();
    },
  );
  await context.routeWebSocket(
    (url) => !isFromHere(url.href),
    async (socket) => {
      complaints.push(`opened a socket to ${socket.url()}`);
      await socket.close();
    },
  );
  context.on('weberror', (error) => complaints.push(`threw ${error.error().message}`));
  context.on('console', (message) => {
    if (message.type() === 'error') complaints.push(`wrote ${message.text()}`);
  });
  await mkdir(SCREENSHOTS, { recursive: true });
  return {
    openPage: async (url) => {
      const page = await context.newPage();
      await page.goto(url);
      return page;
    },
    complaints,
    takeComplaints: () => complaints.splice(0),
    takeScreenshot: async (page, name) => {
      await page.screenshot({ path: join(SCREENSHOTS, `${name}.png`) });
    },
    close: () => browser.close(),
  };
};
