import { InvalidArgumentError, type Command } from 'commander';
import { buildApprovalSpec, findApprovalTarget } from '../../model/approval-commands.ts';
import { applyMessage } from '../../model/decisions.ts';
import { noDecisions } from '../../model/message-context.ts';
import { parseMessage, type Messages } from '../../model/message-schemas.ts';
import type { ApprovalTarget } from '../../model/migration-approval.ts';
import { withoutControls } from '../../model/printable.ts';
import type { MigrationStatus } from '../../model/status.ts';
import { Migration } from '../migration.ts';
import { CliError } from './exit-codes.ts';
import type { SenderOptions } from './options.ts';
import type { CliCommand, ConnectedContext } from './run.ts';

/** Options of `approve`, in addition to the subject. */
export interface ApproveOptions extends SenderOptions {
  kubeconfig?: string;
  context?: string;
  notAfter?: string;
}

/** Adds the options about the approval in the cluster. */
export function withClusterOptions(command: Command): Command {
  return command
    .option('--kubeconfig <file>', 'your own kubeconfig, where approvals are objects of the cluster')
    .option('--context <name>', 'context of that kubeconfig')
    .option(
      '--not-after <time>',
      'time after which the approval no longer counts, such as 2026-05-01T12:00:00Z',
      parseTime
    );
}

/**
 * Returns the command `approve`: where the status says that approvals are objects of the cluster, it first creates one with
 * the credentials of the user, and then sends the message, which wakes the migration.
 * @param command the command that only sends the message.
 * @param buildMessage returns the message that the options describe.
 */
export function approveCommand(
  command: CliCommand<ApproveOptions>,
  buildMessage: (options: ApproveOptions) => object
): CliCommand<ApproveOptions> {
  return {
    ...command,
    work: async (context) => {
      await createApproval(context, buildMessage(context.options));
      await command.work(context);
    },
  };
}

async function createApproval(
  { client, name, workflowId, timeoutMs, options }: ConnectedContext<ApproveOptions>,
  raw: object
): Promise<void> {
  const { kubeconfig, context, notAfter } = options;
  const isForCluster = [kubeconfig, context, notAfter].some((option) => option !== undefined);
  const parsed = parseMessage('approve', raw);
  // The worker refuses it, with the reason.
  if ('problem' in parsed) return;
  const status = await new Migration(client, name, { workflowId, timeoutMs }).status().catch((error: unknown) => {
    if (isForCluster) throw error;
    // The message fails for the same reason, or is noted, and approves nothing.
    return undefined;
  });
  if (status === undefined) return;
  const target = findApprovalTarget(status);
  if (target !== undefined) return createObject(parsed.message, { status, target, timeoutMs, options });
  if (!isForCluster) return;
  const advice = 'leave out --kubeconfig, --context and --not-after';
  throw new CliError('usage', `a message suffices for the approvals of this migration: ${advice}`);
}

interface Creation {
  status: MigrationStatus;
  target: ApprovalTarget;
  timeoutMs: number;
  options: ApproveOptions;
}

async function createObject(
  message: Messages['approve'],
  { status, target, timeoutMs, options }: Creation
): Promise<void> {
  // An approval whose message is refused would count later, and nobody would expect it.
  const outcome = applyMessage('approve', message, { decisions: noDecisions(), status: structuredClone(status) }, '');
  if ('problem' in outcome) throw new CliError('refused', `refused: ${outcome.problem}; no approval was created`);
  const { kubeconfig: file, context, notAfter, reason, quiet } = options;
  // Loaded only here: no other command needs the client library of Kubernetes.
  const { ApprovingUser, ClusterRequestError } = await import('../cluster-approval.ts');
  try {
    const user = new ApprovingUser({ file, context }, timeoutMs);
    const userName = await user.name();
    const spec = buildApprovalSpec(message, target, status, userName);
    if ('problem' in spec) throw new CliError('usage', spec.problem);
    const more = { ...(reason !== undefined && { reason }), ...(notAfter !== undefined && { notAfter }) };
    const object = await user.approve({ ...spec, ...more });
    if (!quiet) console.error(withoutControls(`# created the MigrationApproval ${object} as ${userName}`));
  } catch (error) {
    if (!(error instanceof ClusterRequestError)) throw error;
    throw new CliError(error.isRefused ? 'refused' : 'unreachable', error.message);
  }
}

function parseTime(text: string): string {
  const ms = Date.parse(text);
  if (!/^\d{4}-\d\d-\d\dT/.test(text) || Number.isNaN(ms)) throw new InvalidArgumentError('must be a time in ISO 8601');
  return new Date(ms).toISOString();
}
