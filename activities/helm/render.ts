import { parseAllDocuments } from 'yaml';
import type { KubernetesObject } from '@kubernetes/client-node';
import { coexistenceValues, isObject, type HelmValues } from '../../model/helm-values.ts';
import type { MigrationInput } from '../../model/input.ts';
import { ciliumNamespace } from '../kubernetes/names.ts';
import { chartArguments, runHelm, type HelmSettings } from './command.ts';

/** Result of rendering a chart with values. */
export interface RenderedChart {
  objects: KubernetesObject[];
  /** The ConfigMap that the agents read. */
  config: Record<string, string>;
  /** Keys that occur twice in a rendered object. */
  duplicates: string[];
  /** Paths of the caller's values that the chart does not define. */
  unknownValues: string[];
}

type ConfigMap = KubernetesObject & { data?: Record<string, string> };

/**
 * Renders Cilium's chart as it is first applied, for coexistence with Canal, without access to the cluster. Helm itself
 * checks the values against the chart's schema.
 * @param kubernetesVersion Kubernetes version that the chart renders for.
 * @throws HelmFailed with Helm's output, when the chart cannot be fetched or rendered.
 */
export async function renderChart(
  helm: HelmSettings,
  input: MigrationInput,
  kubernetesVersion: string
): Promise<RenderedChart> {
  const source = chartArguments(helm, input.chart, input.chartVersion);
  const args = ['template', 'cilium', ...source, '--namespace', ciliumNamespace, '--kube-version', kubernetesVersion];
  const text = await runHelm(helm, [...args, '--values', '-'], JSON.stringify(coexistenceValues(input)));
  const defaults = await runHelm(helm, ['show', 'values', ...source]);
  // A duplicate key is an error in YAML; which of the two applies depends on the parser.
  const documents = [...parseAllDocuments(text)];
  const duplicates = documents.flatMap((document) =>
    document.errors.some(({ code }) => code === 'DUPLICATE_KEY') ? [`a key of ${objectName(document.toJS())}`] : []
  );
  const objects = documents
    .map((document) => document.toJS() as KubernetesObject | null)
    .filter((object) => object?.kind !== undefined) as KubernetesObject[];
  const config = objects.find(({ kind, metadata }) => kind === 'ConfigMap' && metadata?.name === 'cilium-config');
  const defaultValues = (parseAllDocuments(defaults)[0]?.toJS() ?? {}) as HelmValues;
  return {
    objects,
    config: (config as ConfigMap | undefined)?.data ?? {},
    duplicates,
    unknownValues: unknownValues(input.values, defaultValues),
  };
}

/**
 * Returns the paths of values that the chart does not define. Where the chart's own value is empty, any value is
 * allowed.
 */
export function unknownValues(given: HelmValues, defaults: HelmValues, path = ''): string[] {
  return Object.entries(given).flatMap(([key, value]) => {
    const valuePath = `${path}${key}`;
    if (!(key in defaults)) return [valuePath];
    const defaultValue = defaults[key];
    if (!isObject(value) || !isObject(defaultValue) || Object.keys(defaultValue).length === 0) return [];
    return unknownValues(value, defaultValue, `${valuePath}.`);
  });
}

function objectName(object: unknown): string {
  const { kind = '', metadata } = object as KubernetesObject;
  return `${kind} ${metadata?.name ?? ''}`;
}
