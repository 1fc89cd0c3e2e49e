import { parseAllDocuments } from 'yaml';
import type { KubernetesObject } from '@kubernetes/client-node';
import { coexistenceValues, cutoverValues, isObject, type HelmValues } from '../../model/helm-values.ts';
import type { MigrationInput } from '../../model/input.ts';
import { ciliumNamespace } from '../kubernetes/names.ts';
import { chartArguments, runHelm, type HelmSettings } from './command.ts';

/** Objects of a chart that is rendered with values. */
export interface RenderedValues {
  objects: KubernetesObject[];
  /** The ConfigMap that the agents read. */
  config: Record<string, string>;
  /** Keys that occur twice in a rendered object. */
  duplicates: string[];
}

/** Cilium's chart as a migration applies it. */
export interface RenderedChart extends RenderedValues {
  /** Version of the chart. */
  version: string;
  /** The chart as it is applied in the cutover. */
  cutover: RenderedValues;
  /** Paths of the caller's values that the chart does not define. */
  unknownValues: string[];
}

type ConfigMap = KubernetesObject & { data?: Record<string, string> };

/**
 * Renders Cilium's chart without access to the cluster: as it is first applied, for coexistence with Canal, and as it is
 * applied in the cutover. Helm itself checks the values against the chart's schema.
 * @param kubernetesVersion Kubernetes version that the chart renders for.
 * @throws HelmFailed with Helm's output, when the chart cannot be fetched or rendered.
 */
export async function renderChart(
  helm: HelmSettings,
  input: MigrationInput,
  kubernetesVersion: string
): Promise<RenderedChart> {
  const source = chartArguments(helm, input.chart, input.chartVersion);
  const render = (values: HelmValues): Promise<RenderedValues> => renderValues(helm, source, values, kubernetesVersion);
  const coexistence = await render(coexistenceValues(input));
  const cutover = await render(cutoverValues(input));
  const defaultValues = await showChart(helm, 'values', source);
  const version = await readVersion(helm, input, source);
  return { ...coexistence, cutover, version, unknownValues: unknownValues(input.values, defaultValues) };
}

/** Returns the chart's version. A chart that is named by a path has it in its own file only. */
async function readVersion(helm: HelmSettings, input: MigrationInput, source: readonly string[]): Promise<string> {
  if (!input.chart.startsWith('/')) return input.chartVersion;
  const { version } = await showChart(helm, 'chart', source);
  return typeof version === 'string' ? version : '';
}

async function renderValues(
  helm: HelmSettings,
  source: readonly string[],
  values: HelmValues,
  kubernetesVersion: string
): Promise<RenderedValues> {
  const args = ['template', 'cilium', ...source, '--namespace', ciliumNamespace, '--kube-version', kubernetesVersion];
  const text = await runHelm(helm, [...args, '--values', '-'], JSON.stringify(values));
  // A duplicate key is an error in YAML; which of the two applies depends on the parser.
  const documents = [...parseAllDocuments(text)];
  const duplicates = documents.flatMap((document) =>
    document.errors.some(({ code }) => code === 'DUPLICATE_KEY') ? [`a key of ${objectName(document.toJS())}`] : []
  );
  const objects = documents
    .map((document) => document.toJS() as KubernetesObject | null)
    .filter((object) => object?.kind !== undefined) as KubernetesObject[];
  const config = objects.find(({ kind, metadata }) => kind === 'ConfigMap' && metadata?.name === 'cilium-config');
  return { objects, config: (config as ConfigMap | undefined)?.data ?? {}, duplicates };
}

/** Returns the chart's default values, or its own description. */
async function showChart(
  helm: HelmSettings,
  section: 'values' | 'chart',
  source: readonly string[]
): Promise<HelmValues> {
  const text = await runHelm(helm, ['show', section, ...source]);
  return (parseAllDocuments(text)[0]?.toJS() ?? {}) as HelmValues;
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
