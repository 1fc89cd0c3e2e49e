import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import puppeteer, { type Browser, type Page } from 'puppeteer-core';
import { stopProcesses } from '../../lab/cluster/processes.ts';
import { freePort } from '../../lab/cluster/temporal.ts';
import { waitFor } from '../../lab/process.ts';
import { loadCatalogue } from '../../lab/tools/catalogue.ts';
import { DebianRoot } from './debian-root.ts';
import { timeLimits } from './time-limits.ts';

/** A real Chromium without a window, in its own root file system. */
export class TestBrowser {
  private readonly dir: string;
  private readonly browser: Browser;

  private constructor(dir: string, browser: Browser) {
    this.dir = dir;
    this.browser = browser;
  }

  static async start(): Promise<TestBrowser> {
    const dir = await mkdtemp(path.join(tmpdir(), 'cni-browser-'));
    const root = new DebianRoot(dir, (await loadCatalogue()).chromiumLayers, 'root:root');
    const port = await freePort();
    const flags = ['--headless=new', '--no-sandbox', '--disable-gpu', '--no-first-run', '--user-data-dir=/tmp/profile'];
    await root.start('chromium', 'chromium', ...flags, `--remote-debugging-port=${port}`, 'about:blank');
    let browser: Browser | undefined;
    const connected = async (): Promise<boolean> => {
      browser = await puppeteer
        .connect({ browserURL: `http://127.0.0.1:${port}`, defaultViewport: { width: 1280, height: 900 } })
        .catch(() => undefined);
      return browser !== undefined;
    };
    await waitFor('Chromium', connected, { timeoutMs: timeLimits.serviceStart });
    if (browser === undefined) throw new Error('unreachable');
    return new TestBrowser(dir, browser);
  }

  newPage(): Promise<Page> {
    return this.browser.newPage();
  }

  async stop(): Promise<void> {
    await this.browser.disconnect();
    await stopProcesses(this.dir);
    await rm(this.dir, { recursive: true, force: true });
  }
}

/** Returns the text that a page shows, including that of its frames: Temporal's Web UI shows Markdown in one. */
export async function readPageText(page: Page): Promise<string> {
  const texts = await Promise.all(
    page
      .frames()
      .map((frame) =>
        frame.$eval('body', (body) => (body as unknown as { innerText: string }).innerText).catch(() => '')
      )
  );
  return texts.join('\n');
}

/** Waits until a page shows a text. */
export async function waitForText(page: Page, text: string): Promise<void> {
  await waitFor(`"${text}" on ${page.url()}`, async () => (await readPageText(page)).includes(text), {
    timeoutMs: timeLimits.localChange,
  });
}
