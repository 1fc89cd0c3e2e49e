import { summarizeList } from '../../../model/summarize.ts';
import { expectedConfig, expectedCutoverConfig } from '../../../model/helm-values.ts';
import { refusedConfig } from '../../../model/refused-values.ts';
import type { ExpectedConfig } from '../../../model/resolved-request.ts';
import type { RenderedChart, RenderedValues } from '../../helm/render.ts';
import { isChartFailure } from '../../helm/chart-source.ts';
import { block, pass, warn, worst, type Finding, type PreflightCheck } from '../check.ts';

/** Checks that the chart renders the values to the configuration that the migration needs. */
export const chart: PreflightCheck = {
  ensures:
    'The Cilium chart can be fetched and rendered for this version of Kubernetes, and renders the configuration that the migration needs, until the cutover and after it.',
  verdicts:
    'Blocks when it cannot; when it has another digest than the input or the file of the worker requires; when a key of the rendered ConfigMap cilium-config has another value than needed, contradicts the migration, or occurs twice; and when agents or operator are missing. Warns about values that the chart does not know.',
  fix: 'Remove the value, or correct its name: "helm show values" lists all values.',
  rationale:
    'Helm ignores values with unknown names, such as vxlanPort instead of tunnelPort, or restart under a second operator key.',
  run: async (cluster) => {
    const rendered = await cluster.chart().catch((error: unknown) => {
      if (isChartFailure(error)) return error.message;
      throw error;
    });
    if (typeof rendered === 'string') return block(rendered);
    const { objects, unknownValues, cutover } = rendered;
    return worst(
      pass(`rendered ${objects.length} objects; all keys of cilium-config have the needed values`),
      requireWorkloads(rendered),
      checkConfig(rendered, expectedConfig(cluster.input), ''),
      checkConfig(cutover, expectedCutoverConfig(cluster.input), ' of the cutover'),
      unknownValues.length > 0 ? warn(`the chart does not know the values ${summarizeList(unknownValues)}`) : pass()
    );
  },
};

/** @param stage suffix of the name of cilium-config in messages. */
function checkConfig({ config, duplicates }: RenderedValues, expected: ExpectedConfig, stage: string): Finding {
  const wrong = Object.entries(expected)
    .filter(([key, value]) => (config[key] ?? null) !== value)
    .map(([key, value]) => `${key} ${JSON.stringify(config[key] ?? null)} instead of ${JSON.stringify(value)}`);
  const refused = refusedConfig(config).map((text) => `in cilium-config${stage}, ${text}`);
  return worst(
    wrong.length > 0 ? block(`cilium-config${stage} has ${summarizeList(wrong)}`) : pass(),
    refused.length > 0 ? block(...refused) : pass(),
    duplicates.length > 0 ? block(`duplicate keys${stage}: ${summarizeList(duplicates)}`) : pass()
  );
}

function requireWorkloads({ objects }: RenderedChart): Finding {
  const missing = [
    { kind: 'DaemonSet', name: 'cilium' },
    { kind: 'Deployment', name: 'cilium-operator' },
  ].filter(({ kind, name }) => !objects.some((object) => object.kind === kind && object.metadata?.name === name));
  return missing.length > 0
    ? block(`the chart renders no ${missing.map(({ kind, name }) => `${kind} ${name}`).join(' and no ')}`)
    : pass();
}
