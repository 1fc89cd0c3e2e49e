import type { Phase } from '../../../model/status.ts';
import { allOrCancel } from '../../support/all-or-cancel.ts';
import type { ClusterContext } from '../context.ts';
import { checkGates } from '../gates.ts';
import type { Migration } from '../migration.ts';
import { bridgeIdentities, translatePolicies } from '../policies.ts';
import { noteLeftOut } from '../left-out.ts';
import { applyRelease } from '../release.ts';
import { dropWork, recordRemaining } from '../remaining.ts';
import { forgetUnfinishedRollback } from '../unfinished-rollback.ts';
import { waitForWindow } from '../windows.ts';

/** Installs Cilium next to Canal, owning no pod. */
export async function coexistence({ migration }: ClusterContext): Promise<Phase> {
  const { input, state, status, run } = migration;
  const { cluster, podCidr, proberImage, ledger, policyMode } = input;
  const step = { kind: 'installation' as const, hasBaseline: state.doneSteps.includes('baseline') };
  if (!(await waitForWindow(migration, { name: 'the installation of Cilium', step }))) return 'coexistence';
  await forgetUnfinishedRollback(migration);
  // What a rollback has left of it belongs to Cilium again.
  dropWork(migration, ['clean-cilium'], 'Cilium is installed again, so that nothing of it is removed');
  await recordRemaining(migration);
  // An earlier run may have ended at the start of its cutover.
  await run('letCanalOnAllNodes', 'let Canal run on all nodes', { cluster });
  const probers = { cluster, targetPodCidr: podCidr, proberImage, ledger };
  noteLeftOut(migration, 'probers', await run('deployProbers', 'deploy probers', probers));
  await migration.once('baseline', async () => {
    const mark = { cluster, stage: 'before' as const, seconds: ledger.baselineSeconds };
    state.ledger.before = await run('snapshotLedger', 'record baseline', mark);
  });
  if (status.paused !== undefined) return 'coexistence';
  const sinceMs = Date.now();
  await run('applyCniChain', 'create CNI file for Cilium', { cluster });
  await allOrCancel(
    () => installCilium(migration),
    () => deployNatExemption(migration)
  );
  await bridgeIdentities(migration);
  if (policyMode !== 'off') await translatePolicies(migration);
  await checkGates(migration, 'the installation of Cilium', sinceMs);
  return 'migrate';
}

async function installCilium(migration: Migration): Promise<void> {
  const { cluster, run } = migration;
  await applyRelease(migration, 'coexistence', 'install Cilium next to Canal');
  noteLeftOut(migration, 'agents', await run('waitForAgents', 'wait for agents', { cluster }));
  await run('applyNodeConfig', 'apply CiliumNodeConfig', { cluster });
}

async function deployNatExemption(migration: Migration): Promise<void> {
  const { run, state, input } = migration;
  const { cluster, podCidr, coexistenceImage } = input;
  if (state.source === undefined) throw new Error('coexistence needs Canal');
  const networks = { sourcePodCidr: state.source.podCidr, targetPodCidr: podCidr };
  const exemption = { cluster, ...networks, coexistenceImage };
  noteLeftOut(migration, 'NAT exemption', await run('deployNatExemption', 'deploy NAT exemption', exemption));
}
