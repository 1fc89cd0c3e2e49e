import { parseAllDocuments } from 'yaml';
import type { KubernetesObject } from '@kubernetes/client-node';
import { isObject, type HelmValues } from '../../workflows/model/helm-values.ts';
import { ciliumNamespace } from '../kubernetes/names.ts';
import { chartArguments, runHelm } from './command.ts';

/** A chart, and what it is rendered with. */
export interface ChartSource {
  chart: string;
  version: string;
}

/** What a chart makes of values. */
export interface RenderedChart {
  objects: KubernetesObject[];
  /** The ConfigMap that the agents read. */
  config: Record<string, string>;
  /** Keys that a rendered object has twice. */
  duplicates: string[];
  /** Values of the caller that the chart has no value of that name for, by path. */
  unknownValues: string[];
}

type ConfigMap = KubernetesObject & { data?: Record<string, string> };

/**
 * Renders Cilium's chart without asking the cluster. Helm itself checks the values against the chart's schema.
 * @param kubernetesVersion what the chart is told of the cluster.
 * @throws HelmFailed with what Helm said, when the chart cannot be fetched or rendered.
 */
export async function renderChart(
  helm: string,
  { chart, version }: ChartSource,
  values: HelmValues,
  given: HelmValues,
  kubernetesVersion: string
): Promise<RenderedChart> {
  const source = chartArguments(chart, version);
  const args = ['template', 'cilium', ...source, '--namespace', ciliumNamespace, '--kube-version', kubernetesVersion];
  const text = await runHelm(helm, [...args, '--values', '-'], JSON.stringify(values));
  const defaults = await runHelm(helm, ['show', 'values', ...source]);
  // A key that is there twice is an error of YAML; which of the two counts depends on who reads it.
  const documents = [...parseAllDocuments(text, { uniqueKeys: false })];
  const strict = [...parseAllDocuments(text)];
  const duplicates = strict.flatMap(({ errors }, index) =>
    errors.some(({ code }) => code === 'DUPLICATE_KEY') ? [`a key of ${nameOf(documents[index]?.toJS())}`] : []
  );
  const objects = documents
    .map((document) => document.toJS() as KubernetesObject | null)
    .filter((object) => object?.kind !== undefined) as KubernetesObject[];
  const config = objects.find(({ kind, metadata }) => kind === 'ConfigMap' && metadata?.name === 'cilium-config');
  const known = (parseAllDocuments(defaults)[0]?.toJS() ?? {}) as HelmValues;
  return {
    objects,
    config: (config as ConfigMap | undefined)?.data ?? {},
    duplicates,
    unknownValues: unknownValues(given, known),
  };
}

/** Paths of values for which the chart has none of that name. Where the chart's own is empty, anything may be in it. */
export function unknownValues(given: HelmValues, known: HelmValues, path = ''): string[] {
  return Object.entries(given).flatMap(([key, value]) => {
    const where = `${path}${key}`;
    if (!(key in known)) return [where];
    const below = known[key];
    if (!isObject(value) || !isObject(below) || Object.keys(below).length === 0) return [];
    return unknownValues(value, below, `${where}.`);
  });
}

function nameOf(object: unknown): string {
  const { kind = '', metadata } = object as KubernetesObject;
  return `${kind} ${metadata?.name ?? ''}`;
}
