import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { chromium, type Page } from 'playwright-core';
import { findProgram } from './debian-program.ts';

// A headless Chromium that can connect to this machine only, and collects errors of pages and consoles.

const SCREENSHOTS = join(import.meta.dirname, 'screenshots');

const LOOPBACK = /^(?:127\.0\.0\.1|localhost|\[::1\])$/;
/** Protocols that do not leave the page. */
const WITHIN_PAGE = new Set(['blob:', 'data:', 'about:']);

const isFromHere = (url: string): boolean => {
  const { protocol, hostname } = new URL(url);
  return WITHIN_PAGE.has(protocol) || LOOPBACK.test(hostname);
};

export interface TestBrowser {
  openPage(url: string): Promise<Page>;
  /** Blocked requests to other machines, uncaught errors, and errors in the console. */
  readonly complaints: readonly string[];
  /** Returns and removes the complaints, for a test that expects some. */
  takeComplaints(): string[];
  /** Writes a screenshot to a folder that git ignores. */
  takeScreenshot(page: Page, name: string): Promise<void>;
  close(): Promise<void>;
}

/** Returns the program that CHROMIUM names, or `chromium` in the PATH. */
const findChromium = async (): Promise<string> => {
  const program = process.env['CHROMIUM'] || 'chromium';
  const found = await findProgram(program);
  if (found !== null) return found;
  throw new Error(
    `${program} is not installed. On Debian and Ubuntu, \`apt-get install chromium\` installs it; ` +
      'on other systems, set CHROMIUM to the path of Chromium or Chrome.',
  );
};

export const startBrowser = async (): Promise<TestBrowser> => {
  const browser = await chromium.launch({
    executablePath: await findChromium(),
    args: [
      // Without a graphics card, Debian's --enable-gpu-rasterization draws more slowly: a file of console tests took 82 s instead of 71 s.
      '--disable-gpu',
      // Resolves only the names of this machine, for all parts of the browser.
      '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost, EXCLUDE [::1]',
    ],
  });
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, locale: 'en-GB' });
  context.setDefaultTimeout(60_000);
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
