import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { Page } from 'playwright-core';
import { createGate } from '../../support/faults.ts';
import { startTestServer, type TestServer, type TestServerOptions } from '../../support/server.ts';
import { startBrowser, type TestBrowser } from '../browser.ts';

// A server with the built console and a browser, for the tests of its pages. `npm run build:console` builds the console.

export interface OpenOptions {
  /** Defaults to the ADMIN key of the server; null opens the page without a key. */
  readonly key?: string | null;
  /** Defaults to that of the server, such as the address of a proxy. */
  readonly url?: string;
  readonly width?: number;
  readonly colorScheme?: 'light' | 'dark';
}

export interface TestConsole {
  readonly server: TestServer;
  /** Its complaints contain errors of the console, violations of the content security policy and requests to foreign hosts. */
  readonly browser: TestBrowser;
  /** Opens an address below `/console`, such as `/jobs`, signed in. */
  open(path: string, options?: OpenOptions): Promise<Page>;
  stop(): Promise<void>;
}

export async function startConsole(options: TestServerOptions = {}): Promise<TestConsole> {
  const server = await startTestServer(options);
  const browser = await startBrowser();
  return {
    server,
    browser,
    open: async (path, { key = server.key, url = server.url, width = 1440, colorScheme = 'light' } = {}) => {
      const page = await browser.openPage('about:blank');
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height: 900 });
      await page.goto(`${url}/console${path}${key === null ? '' : `#key=${encodeURIComponent(key)}`}`);
      return page;
    },
    stop: async () => {
      await browser.close();
      await server.stop();
    },
  };
}

const axeSource = readFile(fileURLToPath(import.meta.resolve('axe-core/axe.min.js')), 'utf8');

interface AxeResult {
  readonly violations: readonly {
    readonly id: string;
    readonly impact: string | null;
    readonly nodes: readonly { readonly html: string; readonly failureSummary: string }[];
  }[];
}

/** Rules of axe-core whose result depends on the colour scheme. */
const COLOUR_RULES = ['color-contrast', 'link-in-text-block'];

/** Returns the serious and critical findings of axe-core in both colour schemes. The page keeps the last one, dark. */
export async function findAccessibilityProblems(page: Page): Promise<string[]> {
  const found: string[] = [];
  await page.evaluate(await axeSource);
  for (const [colorScheme, rules] of [
    ['light', null],
    ['dark', COLOUR_RULES],
  ] as const) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    await page.locator(`html[data-mantine-color-scheme="${colorScheme}"]`).waitFor();
    const options = rules === null ? {} : { runOnly: { type: 'rule', values: rules } };
    const { violations } = await page.evaluate<AxeResult>(`axe.run(${JSON.stringify(options)})`);
    for (const { id, impact, nodes } of violations) {
      if (impact !== 'serious' && impact !== 'critical') continue;
      for (const { html, failureSummary } of nodes) found.push(`${colorScheme} ${id}: ${html}\n${failureSummary}`);
    }
  }
  return found;
}

/** Returns the elements that make the page wider than the window. */
export function findOverflow(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    if (document.documentElement.scrollWidth <= innerWidth) return [];
    return [...document.querySelectorAll('body *')]
      .filter((element) => element.getBoundingClientRect().right > innerWidth)
      .map((element) => `${element.tagName} ${element.className} ${element.textContent}`.slice(0, 120));
  });
}

/** Lets a page see that its tab is hidden or shown. Chromium without a window shows all tabs. */
export function setVisibility(page: Page, state: DocumentVisibilityState): Promise<void> {
  return page.evaluate((visibilityState) => {
    Object.defineProperty(document, 'visibilityState', { configurable: true, value: visibilityState });
    document.dispatchEvent(new Event('visibilitychange'));
  }, state);
}

/** Holds the requests that a page sends from now on. Returns a function that releases them. */
export async function holdRequests(page: Page): Promise<() => void> {
  const gate = createGate();
  await page.route('**/graphql', async (route) => {
    await gate.opened;
    await route.fallback();
  });
  return gate.open;
}
