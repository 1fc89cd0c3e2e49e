import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import type { Page } from 'puppeteer-core';
import { startMigration, type Migration } from '../../client/index.ts';
import { freePort } from '../../lab/cluster/temporal.ts';
import { waitFor } from '../../lab/process.ts';
import { TestBrowser, readPageText, waitForText } from '../support/browser.ts';
import { fakeCluster } from '../support/fake-cluster.ts';
import { WorkflowServer } from '../support/workflow-server.ts';
import { timeLimits } from '../support/time-limits.ts';

/**
 * The view that an operator has of a migration in Temporal's own Web UI, in a real browser. With SCREENSHOTS=folder the
 * test keeps screenshots: `npm run docs:screenshots` creates those of the documentation.
 */
const server = new WorkflowServer({ uiPort: freePort });
let browser: TestBrowser;
let page: Page;
beforeAll(async () => {
  await server.start();
  browser = await TestBrowser.start();
  page = await browser.newPage();
});
afterAll(async () => {
  await browser.stop();
  await server.stop();
});

const folder = process.env['SCREENSHOTS'];

async function screenshot(name: string): Promise<void> {
  if (folder === undefined) return;
  await mkdir(folder, { recursive: true });
  await page.screenshot({ path: path.join(folder, `${name}.png`) });
}

const workflows = (query: string): string =>
  `${server.webUi}/namespaces/default/workflows?query=${encodeURIComponent(query)}`;
const open = (url: string) => page.goto(url, { waitUntil: 'networkidle2', timeout: timeLimits.serviceStart });

/** Clicks the button with this name. */
async function click(name: string): Promise<void> {
  await page.locator(`::-p-aria([name="${name}"][role="button"])`).click();
}

it('shows the phase of a migration, its wait, and the command that ends the wait', async () => {
  const cluster = fakeCluster({ nodes: ['node1', 'node2', 'node3'] });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const waitForPendingWait = (migration: Migration, what: string): Promise<void> =>
      waitFor(what, async () => (await migration.status()).waitingFor?.startsWith(what) === true, {
        timeoutMs: timeLimits.workflowState,
      });
    const prod = await startMigration(client, { cluster: 'prod' }, { taskQueue });
    await waitForPendingWait(prod, 'approval of the plan');
    await prod.send('approve', { plan: true, by: 'ann' });
    await waitForPendingWait(prod, 'approval of node node1');
    await prod.send('approve', { node: 'node1', by: 'ann' });
    await waitForPendingWait(prod, 'approval of node node2');
    const staging = await startMigration(client, { cluster: 'staging' }, { taskQueue });
    await waitForPendingWait(staging, 'approval of the plan');

    const at = `${server.webUi}/namespaces/default/workflows/${encodeURIComponent('cni-migration/prod')}`;
    await open(at);
    await waitForText(page, 'node1: Canal to Cilium');
    await waitForText(page, 'wait for approval of node node2');
    await screenshot('timeline');

    await open(page.url().replace(/history$/, 'user-metadata'));
    await waitForText(page, 'prod: Canal to Cilium');
    await waitForText(page, 'Waiting for approval of node node2');
    await waitForText(page, `temporal workflow update execute --workflow-id 'cni-migration/prod' --name approve`);
    // As a table, not as the characters of its Markdown source.
    expect(await readPageText(page)).not.toContain('|---|');
    await screenshot('details');

    await open(workflows('CniWaitingFor STARTS_WITH "approval"'));
    await waitForText(page, 'cni-migration/staging');
    await waitForText(page, 'cni-migration/prod');
    await open(workflows('CniPhase = "migrate" AND ExecutionStatus = "Running"'));
    await waitForText(page, 'cni-migration/prod');
    expect(await readPageText(page)).not.toContain('cni-migration/staging');
    await open(workflows('CniCluster = "prod"'));
    await waitForText(page, 'cni-migration/prod/node/node1');
    expect(await readPageText(page)).not.toContain('cni-migration/staging');

    // Saved as a view, it is one click away.
    await open(workflows('CniWaitingFor STARTS_WITH "approval"'));
    await waitForText(page, 'cni-migration/staging');
    await click('Save as New');
    await page.locator('input#view-name').fill('Waits for a human');
    await click('Save');
    await waitForText(page, 'Waits for a human');
    await open(`${server.webUi}/namespaces/default/workflows`);
    await waitForText(page, 'Waits for a human');
    await page.locator('::-p-text(Waits for a human)').click();
    await waitFor('the view', () => Promise.resolve(decodeURIComponent(page.url()).includes('CniWaitingFor')), {
      timeoutMs: timeLimits.localChange,
    });
    await waitForText(page, 'cni-migration/staging');
    await screenshot('views');
    for (const name of ['prod', 'staging']) await client.workflow.getHandle(`cni-migration/${name}`).terminate();
  });
});
