import { ApplicationFailure } from '@temporalio/common';
import { summarizeList } from '../../../model/summarize.ts';
import { expectedConfig } from '../../../model/helm-values.ts';
import { block, pass, warn, worst, type PreflightCheck } from '../check.ts';

/** Checks that the chart renders the values to the configuration that the migration needs. */
export const chart: PreflightCheck = {
  ensures:
    'Cilium’s chart can be fetched and rendered, for this version of Kubernetes, and makes the configuration that the migration needs.',
  verdicts:
    'Blocks when it cannot, when a key of the rendered ConfigMap cilium-config is another than is needed, or is there twice; warns for values that the chart has no such name for.',
  fix: 'Leave out the value, or correct its name: "helm show values" lists them all.',
  rationale:
    'Helm ignores a value whose name it does not know: vxlanPort for tunnelPort, restart under a second operator key.',
  run: async (cluster) => {
    const rendered = await cluster.chart().catch((error: unknown) => {
      if (error instanceof ApplicationFailure && error.type === 'HelmFailed') return error.message;
      throw error;
    });
    if (typeof rendered === 'string') return block(rendered);
    const { config, duplicates, objects, unknownValues } = rendered;
    const wrong = Object.entries(expectedConfig(cluster.input)).filter(
      ([key, value]) => (config[key] ?? null) !== value
    );
    return worst(
      wrong.length > 0
        ? block(
            `cilium-config has ${summarizeList(wrong.map(([key, value]) => `${key} ${JSON.stringify(config[key] ?? null)} instead of ${JSON.stringify(value)}`))}`
          )
        : pass(`rendered to ${objects.length} objects; all keys of cilium-config are as needed`),
      duplicates.length > 0 ? block(`there twice: ${summarizeList(duplicates)}`) : pass(),
      unknownValues.length > 0 ? warn(`the chart has no values of the name: ${summarizeList(unknownValues)}`) : pass()
    );
  },
};
