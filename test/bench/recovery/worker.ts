import { Context } from '@temporalio/activity';
import { readWorkerConfig } from '../../../worker/config.ts';
import { runWorker } from '../../../worker/run.ts';

/**
 * This project's worker, except for the comparison of policies: it never ends, with heartbeats, in a worker that has
 * HANG set, and takes no time in any other. The worker uses no cluster.
 */
await runWorker(await readWorkerConfig(process.env), {
  wrap: (activities) => ({
    ...activities,
    comparePolicies: async () => {
      const context = Context.current();
      while (process.env['HANG'] !== undefined) {
        context.heartbeat();
        await context.sleep(2_000);
      }
      return { counts: {}, flows: 0, equal: 0, policies: [], more: 0 };
    },
  }),
});
