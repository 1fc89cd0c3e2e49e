import PQueue from 'p-queue';
import { interruptionSignal } from '../process.ts';
import { isBuilt, createArtefact, type Artefact } from './artefact.ts';
import { BuildReporter } from './build-reporter.ts';
import { computeSpaceNeeds } from './disk-space.ts';
import { removeGoCache } from './go-cache.ts';
import { findArchive } from './prebuilt-list.ts';
import { bundleLocation, openBundle, type Bundle } from './prebuilt.ts';
import { describeReason } from './prebuilt-source.ts';
import { checkPrerequisites } from './prerequisites.ts';

/** Maximum number of builds in parallel: while one links, on one processor, the other compiles. */
const processorLanes = 2;

/** Maximum number of tasks in parallel that wait for the network: they leave the processors to the builds. */
const networkLanes = 2;

/** Options of {@link buildMissing}. */
export interface BuildOptions {
  /**
   * Remove Go's build cache after the build; tests compile with it.
   * @default false
   */
  removeGoCache?: boolean;
  /**
   * Bundle from which tools are taken instead of being built.
   * @default as the environment says
   */
  bundle?: ReturnType<typeof bundleLocation>;
}

/**
 * Creates the missing artefacts, which are given in the best order of building. Takes each from a bundle that has it,
 * and builds it otherwise. Reports its progress.
 * @throws Error naming every prerequisite that the machine lacks, before any work starts.
 */
export async function buildMissing(
  artefacts: readonly Artefact[],
  log: (line: string) => void,
  options: BuildOptions = {}
): Promise<void> {
  const missing = await findMissingArtefacts(artefacts);
  if (missing.length === 0) {
    await checkPrerequisites({ building: [], space: [] }, log);
    return;
  }
  const bundle = await openConfiguredBundle(options.bundle ?? bundleLocation(), missing, log);
  const unpacking = missing.filter(
    (artefact) => bundle !== undefined && findArchive(bundle.archives, artefact) !== undefined
  );
  const building = missing.filter((artefact) => !unpacking.includes(artefact));
  const space = await computeSpaceNeeds(building, unpacking, bundle?.archives ?? []);
  await checkPrerequisites({ building, space }, log);
  log(startLine(artefacts, building, unpacking));
  await new Build(missing, bundle, log).run();
  if (options.removeGoCache === true && (await removeGoCache())) log("Go's build cache is removed: no lab needs it");
}

/** Returns the artefacts that are not built yet, in the same order. */
export async function findMissingArtefacts(artefacts: readonly Artefact[]): Promise<Artefact[]> {
  const built = await Promise.all(artefacts.map(isBuilt));
  return artefacts.filter((_, index) => built[index] !== true);
}

function startLine(
  artefacts: readonly Artefact[],
  building: readonly Artefact[],
  unpacking: readonly Artefact[]
): string {
  const parts = [
    ...(unpacking.length > 0 ? [`unpacking ${unpacking.length}`] : []),
    ...(building.length > 0 ? [`building ${building.length}`] : []),
  ];
  return `${parts.join(' and ')} of ${artefacts.length} tools`;
}

/** Opens the bundle that the user configured; reports an unusable one in one line. */
async function openConfiguredBundle(
  location: BuildOptions['bundle'],
  missing: readonly Artefact[],
  log: (line: string) => void
): Promise<Bundle | undefined> {
  if (location === undefined) return undefined;
  let bundle: Bundle;
  try {
    bundle = await openBundle(location);
  } catch (error) {
    log(`no prebuilt tools: ${describeReason(error)}; all are built`);
    return undefined;
  }
  const absent = missing.filter(
    (artefact) => artefact.assembled !== true && findArchive(bundle.archives, artefact) === undefined
  );
  const isUntrusted = (artefact: Artefact): boolean => findArchive(bundle.untrusted, artefact) !== undefined;
  const names = (selected: readonly Artefact[]): string => selected.map(({ name }) => name).join(', ');
  const untrusted = names(absent.filter(isUntrusted));
  const unknown = names(absent.filter((artefact) => !isUntrusted(artefact)));
  if (unknown !== '') log(`not in the bundle as this checkout has them, so built: ${unknown}`);
  if (untrusted !== '') {
    log(`neither in lab/tools/prebuilt.json nor vouched for by CNI_LAB_PREBUILT_SHA256, so built: ${untrusted}`);
  }
  return bundle;
}

/** One run that creates artefacts. */
class Build {
  readonly #missing: readonly Artefact[];
  readonly #bundle: Bundle | undefined;
  readonly #log: (line: string) => void;
  readonly #reporter: BuildReporter;
  readonly #interrupted = interruptionSignal();
  readonly #network = new PQueue({ concurrency: networkLanes });
  readonly #processor = new PQueue({ concurrency: processorLanes });

  constructor(missing: readonly Artefact[], bundle: Bundle | undefined, log: (line: string) => void) {
    this.#missing = missing;
    this.#bundle = bundle;
    this.#log = log;
    const terminal = process.stderr.isTTY ? process.stderr : undefined;
    this.#reporter = new BuildReporter(
      missing.map(({ name }) => name),
      { log, ...(terminal && { terminal }) }
    );
  }

  /** @throws the error of the first artefact that failed, after the others are done. */
  async run(): Promise<void> {
    this.#reporter.start();
    const created = new Map<Artefact, Promise<void>>();
    for (const artefact of this.#missing) {
      // Needs come earlier in the given order, so their promises exist.
      const needs = artefact.needs.flatMap((need) => created.get(need) ?? []);
      const promise = this.#create(artefact, needs);
      // Awaited below; the failure of one must not end the process during the other builds.
      promise.catch(() => undefined);
      created.set(artefact, promise);
    }
    const outcomes = await Promise.allSettled(created.values());
    this.#reporter.stop();
    const failure = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failure !== undefined) throw failure.reason;
  }

  async #create(artefact: Artefact, needs: readonly Promise<void>[]): Promise<void> {
    if (await this.#takeFromBundle(artefact)) return;
    const { name, prepare } = artefact;
    if (prepare !== undefined) {
      await this.#queue(this.#network, artefact, () => this.#reporter.track(`${name} modules`, prepare));
    }
    await Promise.all(needs);
    const lane = artefact.buildsWith === 'debootstrap' ? this.#network : this.#processor;
    await this.#queue(lane, artefact, () =>
      this.#reporter.run(name, 'built', (reportStep) => createArtefact(artefact, reportStep))
    );
  }

  /**
   * Takes an artefact from the bundle.
   * @returns true when the artefact is unpacked; otherwise it has to be built, and one line gives the reason.
   */
  async #takeFromBundle(artefact: Artefact): Promise<boolean> {
    const bundle = this.#bundle;
    const archive = bundle && findArchive(bundle.archives, artefact);
    if (bundle === undefined || archive === undefined) return false;
    try {
      await this.#queue(this.#network, artefact, () =>
        this.#reporter.run(artefact.name, 'unpacked', (reportStep) =>
          createArtefact(artefact, reportStep, (dir) => bundle.unpack(archive, dir))
        )
      );
      return true;
    } catch (error) {
      this.#interrupted.throwIfAborted();
      this.#reporter.note(`${artefact.name} cannot be taken from the bundle: ${describeReason(error)}; it is built`);
    }
    await checkPrerequisites({ building: [artefact], space: await computeSpaceNeeds([artefact], [], []) }, this.#log);
    return false;
  }

  async #queue(lane: PQueue, artefact: Artefact, work: () => Promise<void>): Promise<void> {
    const priority = -this.#missing.indexOf(artefact);
    await lane.add(
      () => {
        this.#interrupted.throwIfAborted();
        return work();
      },
      { priority }
    );
  }
}
