import { median, readResult, rounded, type Measured } from './results.ts';
import { fullLoadUpTo, peerName, peerRatios, type MigrationResult, type Pair, type PeerResult } from './peer/result.ts';
import type { RecoveryResult } from './recovery/result.ts';
import type { ScaleRun } from './scale/result.ts';
import type { TemporalRun, TemporalScaleResult } from './temporal/result.ts';

/** Returns the text of docs/performance.md: all of its content is from test/bench/results. */
export async function performanceText(): Promise<string> {
  const parts = [
    '# Performance',
    '',
    'Made by `npm run bench:report` from `test/bench/results/`; nothing in it is by hand. `npm run bench` measures everything anew, which takes',
    'hours and wants the machine to itself; it fails when a ratio is more than 15 % worse than the one that was there before. Times say',
    'little about other machines: every node, the control plane, Temporal and the worker share the same two cores here. Ratios are of one run.',
    ...(await peerParts(3, 1)),
    ...(await peerParts(5, 2)),
    ...(await scalePart()),
    ...(await workersPart()),
    ...(await temporalPart()),
    ...(await recoveryPart()),
    ...(await bridgePart()),
  ];
  return `${parts.join('\n')}\n`;
}

/** Phases in which both do the same kind of work, and work that only the service does. */
const comparablePhases: readonly { what: string; byHand: readonly string[]; service: readonly string[] }[] = [
  { what: 'checks and plan', byHand: [], service: ['preflight', 'plan'] },
  { what: 'Cilium beside Canal (with the baseline of the ledger)', byHand: ['install'], service: ['coexistence'] },
  { what: 'nodes', byHand: ['nodes'], service: ['migrate'] },
  { what: 'final configuration', byHand: ['final values'], service: ['cutover'] },
  { what: 'Canal removed (and looked for on every node)', byHand: ['Canal removed'], service: ['cleanup'] },
];

const reducedLoadText =
  "So that one machine carries so many nodes, the application's clients send each target a request every 1.5 s (0.5 s on three nodes), probers sample every path once a second, and gates tolerate 120 s (20 s), because agents that start together take the whole machine.";

async function peerParts(nodes: number, waveSize: number): Promise<string[]> {
  const result = await readResult<PeerResult>(peerName(nodes, waveSize));
  if (result === undefined) return [];
  const { pairs } = result;
  const ratios = peerRatios(pairs);
  const medians = (valueOf: (run: MigrationResult) => number): [byHand: number, service: number] => [
    rounded(median(pairs.map(({ byHand }) => valueOf(byHand)))),
    rounded(median(pairs.map(({ service }) => valueOf(service)))),
  ];
  const row = (what: string, valueOf: (run: MigrationResult) => number): (string | number)[] => [
    what,
    ...medians(valueOf),
  ];
  const sumSeconds = (run: MigrationResult, names: readonly string[]): number =>
    names
      .map((name) =>
        name === 'nodes' ? Object.values(run.nodes).reduce((sum, seconds) => sum + seconds, 0) : (run.phases[name] ?? 0)
      )
      .reduce((sum, seconds) => sum + seconds, 0);
  const waves = waveSize === 1 ? 'one node after the other' : `in waves of ${waveSize}`;
  return [
    '',
    `## Beside the procedure by hand: ${nodes} nodes, ${waves}`,
    '',
    `${pairs.length} pairs of whole migrations, alternating, each on a fresh lab with the sample application: by hand as Cilium's guide says (\`test/bench/peer/hand-procedure.ts\`,`,
    `one node after the other), and by this service with every check on. ${measurementText(result)}`,
    ...(nodes > fullLoadUpTo ? [reducedLoadText] : []),
    '',
    table([
      ['middle of all pairs', 'by hand', 'service'],
      row('seconds in all', ({ seconds }) => seconds),
      row(
        'seconds a node',
        ({ nodes: each }) => sumSeconds({ nodes: each, phases: {} } as MigrationResult, ['nodes']) / nodes
      ),
      row('pods made anew, for each pod', ({ restartsPerPod }) => restartsPerPod),
      row('requests lost', ({ lost }) => lost),
      row('lost ms, of all clients together', ({ lostMs }) => lostMs),
      row('ms in which a policy did not hold', ({ wrongVerdictMs }) => wrongVerdictMs),
    ]),
    '',
    `Ratio of the service's time to that by hand: ${ratios.total.toFixed(2)} in all, ${ratios.node.toFixed(2)} for a node. The target is ${waveSize === 1 ? '1.0' : '0.6'}.`,
    '',
    table([
      ['seconds', 'by hand', 'service'],
      ...comparablePhases.map(({ what, byHand, service }) => [
        what,
        byHand.length === 0 ? '–' : rounded(median(pairs.map((pair) => sumSeconds(pair.byHand, byHand)))),
        rounded(median(pairs.map((pair) => sumSeconds(pair.service, service)))),
      ]),
    ]),
    '',
    '```mermaid',
    'xychart-beta horizontal',
    '  title "seconds of each migration, in the order of the pairs: by hand, service"',
    `  x-axis [${pairs.flatMap((_, index) => [`"${index + 1} hand"`, `"${index + 1} service"`]).join(', ')}]`,
    `  bar [${pairs.flatMap(({ byHand, service }) => [byHand.seconds, service.seconds]).join(', ')}]`,
    '```',
    '',
    extraTimeText(pairs.map(({ service }) => service)),
    '',
    ...processorUseText(pairs),
    ...(ratios.restarts > 1 ? [recreationReason(ratios.restarts), ''] : []),
    "Where the service's time goes: its kinds of activities, with the most seconds first. Some go on side by side.",
    '',
    table([['activity', 'times', 'seconds'], ...activityRows(pairs.map(({ service }) => service))]),
  ];
}

/** Activities of the service that have no counterpart by hand. */
const serviceOnlyActivities: readonly string[] = [
  ...['runPreflight', 'removeInspectors', 'planDetails', 'deployProbers', 'snapshotLedger', 'deployNatExemption'],
  ...[
    'deployIdentityBridge',
    'removeIdentityBridge',
    'applyTranslatedPolicies',
    'verifyNode',
    'checkGates',
    'readLedger',
  ],
  ...['exportCalico', 'cleanHost', 'removeCanalTraces', 'removeHelpers'],
];

/** Returns the share of the service's time for work that has no counterpart by hand. */
function extraTimeText(runs: readonly MigrationResult[]): string {
  const run = medianRun(runs);
  const uniqueActivities = Object.entries(run?.activities ?? {}).filter(([type]) =>
    serviceOnlyActivities.includes(type)
  );
  const seconds = uniqueActivities.reduce((sum, [, one]) => sum + one.seconds, 0);
  const most = uniqueActivities.sort(([, a], [, b]) => b.seconds - a.seconds).slice(0, 5);
  return (
    `Of the ${run?.seconds} s of the middle run, ${rounded(seconds)} s are activities for what nobody does by hand (those that go on side by side each ` +
    `counted), most of all ${most.map(([type, one]) => `\`${type}\` (${one.seconds} s)`).join(', ')}.`
  );
}

/** Returns the machine's processor use where it was measured: parallel work gains nothing when no processor is idle. */
function processorUseText(pairs: readonly Pair[]): string[] {
  const [byHand, service] = [medianRun(pairs.map((pair) => pair.byHand)), medianRun(pairs.map((pair) => pair.service))];
  const [handUse, serviceUse] = [byHand?.processors, service?.processors];
  if (handUse === undefined || serviceUse === undefined) return [];
  const percent = (share: number): string => `${(share * 100).toFixed(0)} %`;
  const programs = Object.entries(serviceUse.programs).map(([program, share]) => `\`${program}\` ${percent(share)}`);
  const compiles = Object.entries(service?.compileSeconds ?? {}).map(
    ([program, seconds]) => `${seconds} s for \`${program}\``
  );
  return [
    `What goes on side by side gains nothing where no processor is idle. They were for ${percent(serviceUse.idle)} of the time of the service's middle run and ` +
      `${percent(handUse.idle)} by hand, with ${serviceUse.runnable} and ${handUse.runnable} processes that ran or waited for one, and in the kernel for ${percent(serviceUse.kernel)} and ` +
      `${percent(handUse.kernel)}. By program, of all their time in the service's run: ${programs.join(', ')} (\`app\` and \`coredns\` are the sample application's, ` +
      '`(compilers)` what agents start).',
    '',
    `Each agent makes its programs anew whenever it starts, twice a node at least, in a lab from what was [compiled](decisions/0017-ebpf-compiler-cache.md) ` +
      `for any node: ${compiles.join(', ')}. Until then no new pod starts on its node. \`verifyNode\` waits for that, and by hand nobody does.`,
    '',
  ];
}

/** Returns why a pod is recreated more than once. */
function recreationReason(restarts: number): string {
  return (
    `${restarts.toFixed(2)} pods were made anew for each pod, where 1.00 is wanted: what is evicted from the first nodes has nowhere to go but to nodes that are ` +
    'not migrated yet, and moves again with them. Only a node more than the pods need, migrated first and empty until then, would avoid it.'
  );
}

/** Returns the run with the median time. */
function medianRun(runs: readonly MigrationResult[]): MigrationResult | undefined {
  return [...runs].sort((a, b) => a.seconds - b.seconds)[Math.floor(runs.length / 2)];
}

/** Returns the types of activities of the median run, sorted by their seconds in descending order. */
function activityRows(runs: readonly MigrationResult[]): (string | number)[][] {
  return Object.entries(medianRun(runs)?.activities ?? {})
    .sort(([, a], [, b]) => b.seconds - a.seconds)
    .slice(0, 12)
    .map(([type, { count, seconds }]) => [`\`${type}\``, count, seconds]);
}

async function scalePart(): Promise<string[]> {
  const read = await Promise.all(scaleSizes.map((nodes) => readResult<ScaleRun>(`scale-${nodes}-nodes`)));
  const runs = read.filter((run) => run !== undefined);
  const [first] = runs;
  const last = runs.at(-1);
  if (first === undefined || last === undefined) return [];
  const line = (what: string, valueOf: (run: ScaleRun) => number | string): (string | number)[] => [
    what,
    ...runs.map(valueOf),
  ];
  const growth = (valueOf: (run: ScaleRun) => number): string =>
    `${((valueOf(last) / valueOf(first) - 1) * 100).toFixed(0)} %`;
  const perNode = (run: ScaleRun): number => rounded(run.seconds / run.nodes, 2);
  return [
    '',
    '## Large clusters, with a real API server',
    '',
    'Whole migrations with real workers and a real Temporal, of clusters whose etcd, API server, scheduler and controllers are real. The nodes are',
    "kwok's; a simulator (`test/bench/scale/simulator`) starts and ends pods, gives them addresses of the network that their node is on, and writes the",
    'ledgers as often and as large as the probers would, but does not watch for peers as they do. It says that every check passes: this is what a',
    'migration asks of a cluster and of its worker, and says nothing of packets. Policies are off here; the identity bridge is measured below. All of it',
    `shares the cores of one machine. ${measurementText(first)}`,
    '',
    table([
      ['nodes', ...runs.map(({ nodes }) => nodes)],
      line('pods a node', ({ podsPerNode }) => podsPerNode),
      line('nodes of a wave', ({ waveSize }) => waveSize),
      line('Temporal', ({ temporal }) => temporal),
      line('seconds', ({ seconds }) => seconds),
      line('seconds a node', perNode),
      line('seconds of a core in the worker, a node', ({ workerCpuSeconds, nodes }) =>
        rounded(workerCpuSeconds / nodes, 2)
      ),
      line("the worker's largest memory, MiB", ({ workerMemoryMiB }) => workerMemoryMiB),
      line('requests of the worker to the API server, a node', ({ requestsPerNode }) => requestsPerNode),
      line("Temporal's actions, a node", ({ actionsPerNode }) => actionsPerNode),
      line('events of the longest history (less than 10,000 is wanted)', ({ largestEvents }) => largestEvents),
      line('KiB of the largest history (less than 10,240 is wanted)', ({ largestKiB }) => largestKiB),
      line(
        "somebody else's GET, ms: middle before and during",
        (run) => `${run.bystanderBefore.p50Ms}, ${run.bystander.p50Ms}`
      ),
      line(
        '99 of 100 were faster than, ms (less than 1,000 is wanted)',
        (run) => `${run.bystanderBefore.p99Ms}, ${run.bystander.p99Ms}`
      ),
      line('nodes that were not migrated in the end, or twice', ({ lost, twice }) => lost + twice),
    ]),
    '',
    `From ${first.nodes} to ${last.nodes} nodes (at most 10 % is wanted): actions a node ${growth((run) => run.actionsPerNode)}, requests a node ` +
      `${growth((run) => run.requestsPerNode)}, the worker's seconds of a core a node ${growth((run) => run.workerCpuSeconds / run.nodes)}.`,
    ...olderWritesText(runs),
    ...(last.bystander.p99Ms < 1_000 && last.requestsPerNode < 1.1 * first.requestsPerNode ? [] : ['', overloadText]),
    ...scaleSizes
      .filter((nodes) => !runs.some((run) => run.nodes === nodes))
      .flatMap((nodes) => ['', estimateText(nodes, last)]),
  ];
}

/**
 * Until then (UTC), probers of 100 nodes wrote their ledgers twice as often as now, and those of 1,000 three times as
 * often.
 */
const fewerWritesSince = '2026-11-26T23:45';

/** Returns which runs were measured with more ledger writes than there are now. */
function olderWritesText(runs: readonly (ScaleRun & Measured)[]): string[] {
  const nodes = runs.filter(({ measuredAt }) => measuredAt < fewerWritesSince).map((run) => run.nodes);
  if (nodes.length === 0) return [];
  const sizes = nodes.map((count) => count.toLocaleString('en')).join(' and ');
  return [
    '',
    `The probers of the runs with ${sizes} nodes still wrote their ledgers two to three times as often as they do now`,
    '([why](decisions/0014-api-request-rate.md)), and none of them was asked for its page yet.',
  ];
}

/** Measured at 1,000 nodes with vmstat and with the API server's own metrics. */
const overloadText =
  'Where more than that was measured, the machine had no core left: API server, etcd, scheduler, controllers, the simulator, Temporal and the worker ' +
  'share what there is, an eviction took more than a second, and a drain that waits looks once a second. A smaller rate ' +
  '(`CNI_MIGRATION_REQUESTS_PER_SECOND`) or smaller waves leave more to others.';

/** Returns an estimate for a size without a result. */
function estimateText(nodes: number, { seconds, nodes: measured }: ScaleRun): string {
  const hours = rounded((seconds / measured) * (nodes / 3_600));
  return (
    `${nodes.toLocaleString('en')} nodes were not measured with a real API server: at the pace of ${measured.toLocaleString('en')}, the migration ` +
    `alone would take ${hours} hours on this machine (\`node test/bench/scale/main.ts --nodes ${nodes}\`).`
  );
}

/** Sizes that are measured. */
const scaleSizes = [100, 1_000, 5_000];

async function workersPart(): Promise<string[]> {
  const run = await readResult<ScaleRun>('workers-killed-1000-nodes');
  if (run === undefined) return [];
  return [
    '',
    '### Workers that are killed on the way',
    '',
    `${run.nodes} nodes with ${run.podsPerNode} pods each, Temporal on ${run.temporal === 'PostgreSQL' ? 'PostgreSQL, as docker-compose.yml has it' : 'its dev server'}, ${run.workers} workers. ${run.killed} times the oldest`,
    `was killed with SIGKILL, and another one added: ${run.seconds} s, ${run.lost} nodes not migrated, ${run.twice} nodes twice, ${run.requestsPerNode} requests a node,`,
    `99 of 100 of somebody else's GETs faster than ${run.bystander.p99Ms} ms. ${measurementText(run)}`,
  ];
}

async function temporalPart(): Promise<string[]> {
  const result = await readResult<TemporalScaleResult>('temporal-scale');
  if (result === undefined) return [];
  const { runs, waveSize } = result;
  const actions = runs.map(({ actionsPerNode }) => actionsPerNode);
  const growth = ((actions.at(-1) ?? 0) / (actions[0] ?? 1) - 1) * 100;
  const line = (what: string, valueOf: (run: TemporalRun) => number): (string | number)[] => [
    what,
    ...runs.map(valueOf),
  ];
  return [
    '',
    '## Large clusters, for Temporal',
    '',
    `Whole migrations, in waves of ${waveSize}, on a real Temporal server (SQLite) with one worker; the cluster is the stand-in of the workflows' tests, whose`,
    `activities answer at once: this is what workflows and histories take, and says nothing of nodes or of an API server. ${measurementText(result)}`,
    '',
    table([
      ['nodes', ...runs.map(({ nodes }) => nodes)],
      line('seconds', ({ seconds }) => seconds),
      line('seconds of a core in the worker, a node', ({ workerCpuSeconds, nodes }) =>
        rounded(workerCpuSeconds / nodes, 3)
      ),
      line("the worker's memory, MiB (all that it ran before included)", ({ memoryMiB }) => memoryMiB),
      line("runs of the cluster's workflow, each of which hands over to the next", (run) => run.runs),
      line('events of the longest history (less than 10,000 is wanted)', ({ largestEvents }) => largestEvents),
      line('KiB of the largest history (less than 10,240 is wanted)', ({ largestKiB }) => largestKiB),
      line("events of a node's workflow", ({ nodeEvents }) => nodeEvents),
      line("Temporal's actions, a node", ({ actionsPerNode }) => actionsPerNode),
    ]),
    '',
    `Actions a node grow by ${growth.toFixed(1)} % from ${runs[0]?.nodes} to ${runs.at(-1)?.nodes} nodes (at most 10 % is wanted).`,
  ];
}

async function recoveryPart(): Promise<string[]> {
  const result = await readResult<RecoveryResult>('recovery');
  if (result === undefined) return [];
  const { heartbeatTimeoutSeconds } = result;
  const line = (what: string, seconds: readonly number[]): (string | number)[] => [
    what,
    seconds.join(', '),
    rounded(median(seconds) / heartbeatTimeoutSeconds, 2),
  ];
  return [
    '',
    '## After a crash',
    '',
    `Real workers and a real Temporal, killed with SIGKILL. An activity whose worker is silent for ${heartbeatTimeoutSeconds} s counts as dead. ${measurementText(result)}`,
    '',
    table([
      ['from the kill until', 'seconds', 'middle, of the heartbeat timeout'],
      line('another worker begins the activity again that was cut short, and ends it', result.activity),
      line('another worker acts on a message to a workflow that the dead one had in memory', result.workflow),
      line('Temporal, started again at once, answers', result.serverAnswers),
      line('a message to it, sent then, is acted on', result.server),
    ]),
  ];
}

/** Content of `test/bench/results/identity-bridge.json`. */
interface BridgeResult {
  pods: number;
  labelSets: number;
  secondsUntilBridged: number;
  podsPerSecond: number;
  requestsPerPod: number;
  bridgeMemoryMiB: number;
  agentMemoryMiB: { before: number; after: number };
  agentKiBPerPod: number;
}

async function bridgePart(): Promise<string[]> {
  const result = await readResult<BridgeResult>('identity-bridge');
  if (result === undefined) return [];
  const { agentMemoryMiB } = result;
  return [
    '',
    '## The identity bridge',
    '',
    `A cluster to which ${result.pods} pods on Canal with ${result.labelSets} sets of labels are added at once (\`npm run bench:bridge\`). ${measurementText(result)}`,
    '',
    table([
      ['', ''],
      ['seconds until every pod has its endpoint', result.secondsUntilBridged],
      ['pods a second', result.podsPerSecond],
      ['requests a pod', result.requestsPerPod],
      ["the bridge's memory, MiB", result.bridgeMemoryMiB],
      ["a Cilium agent's memory before and after, MiB", `${agentMemoryMiB.before}, ${agentMemoryMiB.after}`],
      ["a Cilium agent's memory for each pod, KiB", result.agentKiBPerPod],
    ]),
  ];
}

function measurementText({ measuredAt, machine }: Measured): string {
  return `Measured on ${measuredAt.slice(0, 10)}, ${machine.cores} cores (${machine.cpu}), ${machine.memoryGiB} GiB, Linux ${machine.kernel}.`;
}

function table([head = [], ...rows]: readonly (readonly (string | number)[])[]): string {
  const line = (cells: readonly (string | number)[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map((_, index) => (index === 0 ? '---' : '--:'))), ...rows.map(line)].join('\n');
}
