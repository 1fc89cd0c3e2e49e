import { parseAllDocuments } from 'yaml';
import type { KubernetesObject } from '@kubernetes/client-node';
import { coexistenceValues, cutoverValues, isObject, type HelmValues } from '../../model/helm-values.ts';
import type { MigrationInput } from '../../model/input.ts';
import type { PlannedRelease, ReleaseStep } from '../../model/planned-release.ts';
import { summarizeList } from '../../model/summarize.ts';
import { ciliumNamespace } from '../kubernetes/names.ts';
import { failure } from '../support/failures.ts';
import { withChart, type ChartSource } from './chart-source.ts';
import { runHelm, type HelmSettings } from './command.ts';
import { differingObjects, manifestsDigest } from './manifest-digest.ts';

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
 * @throws UnexpectedChart when the chart has another digest than required.
 */
export function renderChart(
  helm: HelmSettings,
  input: MigrationInput,
  kubernetesVersion: string
): Promise<RenderedChart> {
  return withChart(helm, chartSource(input), async ({ path }) => {
    const render = (values: HelmValues) => renderValues(helm, path, values, kubernetesVersion);
    const coexistence = await render(coexistenceValues(input));
    const cutover = await render(cutoverValues(input));
    const defaultValues = await showChart(helm, 'values', path);
    const version = await readVersion(helm, input, path);
    return { ...coexistence, cutover, version, unknownValues: unknownValues(input.values, defaultValues) };
  });
}

/** Returns where an input takes its chart from. */
export function chartSource({ cluster, chart, chartVersion, chartDigest }: MigrationInput): ChartSource {
  return { cluster, chart, version: chartVersion, chartDigest };
}

/** Cilium's chart as a plan records it. */
export interface PlannedChart {
  release: PlannedRelease;
  /** The chart as each step applies it. */
  steps: Record<ReleaseStep, RenderedValues>;
}

/**
 * Renders Cilium's chart for each step that applies it, from one copy of the chart.
 * @throws HelmFailed, UnexpectedChart as {@link renderChart}
 * @throws UnexpectedChart when the chart renders other objects each time, so that no step could be compared with the plan.
 */
export function renderPlan(
  helm: HelmSettings,
  source: ChartSource,
  values: Record<ReleaseStep, HelmValues>,
  kubernetesVersion: string
): Promise<PlannedChart> {
  return withChart(helm, source, async ({ path, digest: chartDigest }) => {
    const render = (step: ReleaseStep) => renderValues(helm, path, values[step], kubernetesVersion);
    const [coexistence, cutover, final] = [await render('coexistence'), await render('cutover'), await render('final')];
    const random = differingObjects(coexistence.objects, (await render('coexistence')).objects);
    if (random.length > 0)
      throw failure(
        'UnexpectedChart',
        `the chart renders other content each time in ${summarizeList(random)}: what is approved would not be what is ` +
          'applied. Set the values that it generates'
      );
    const digestOf = ({ objects }: RenderedValues): string => manifestsDigest(objects);
    const manifests = {
      coexistence: digestOf(coexistence),
      cutover: digestOf(cutover),
      final: digestOf(final),
    };
    return { release: { chartDigest, manifests }, steps: { coexistence, cutover, final } };
  });
}

/** Returns the chart's version. A chart that is named by a path has it in its own file only. */
async function readVersion(helm: HelmSettings, input: MigrationInput, path: string): Promise<string> {
  if (!input.chart.startsWith('/')) return input.chartVersion;
  const { version } = await showChart(helm, 'chart', path);
  return typeof version === 'string' ? version : '';
}

/**
 * Renders a chart with values.
 * @param chart path of its archive or folder.
 * @throws HelmFailed with Helm's output.
 */
export async function renderValues(
  helm: HelmSettings,
  chart: string,
  values: HelmValues,
  kubernetesVersion: string
): Promise<RenderedValues> {
  const args = ['template', 'cilium', chart, '--namespace', ciliumNamespace, '--kube-version', kubernetesVersion];
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
async function showChart(helm: HelmSettings, section: 'values' | 'chart', chart: string): Promise<HelmValues> {
  const text = await runHelm(helm, ['show', section, chart]);
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
