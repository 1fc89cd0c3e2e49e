import { ApplicationFailure } from '@temporalio/common';
import { summarizeList } from '../../../model/summarize.ts';
import { expectedConfig } from '../../../model/helm-values.ts';
import { block, pass, warn, worst, type PreflightCheck } from '../check.ts';

/** Checks that the chart renders the values to the configuration that the migration needs. */
export const chart: PreflightCheck = {
  ensures:
    'The Cilium chart can be fetched and rendered for this version of Kubernetes, and renders the configuration that the migration needs.',
  verdicts:
    'Blocks when it cannot, or when a key of the rendered ConfigMap cilium-config has another value than needed or occurs twice; warns about values that the chart does not know.',
  fix: 'Remove the value, or correct its name: "helm show values" lists all values.',
  rationale:
    'Helm ignores values with unknown names, such as vxlanPort instead of tunnelPort, or restart under a second operator key.',
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
        : pass(`rendered ${objects.length} objects; all keys of cilium-config have the needed values`),
      duplicates.length > 0 ? block(`duplicate keys: ${summarizeList(duplicates)}`) : pass(),
      unknownValues.length > 0 ? warn(`the chart does not know the values ${summarizeList(unknownValues)}`) : pass()
    );
  },
};
