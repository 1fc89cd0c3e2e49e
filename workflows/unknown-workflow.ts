import { ApplicationFailure, workflowInfo } from '@temporalio/workflow';
import { closestNames } from '../model/closest-names.ts';
import { withoutControls } from '../model/printable.ts';
import { startedTypes } from '../model/workflow-types.ts';

/** Maximum length of a mistyped name in the failure, in characters. */
const maxQuotedLength = 100;

/**
 * Runs for every workflow type that does not exist. Without it, a run with a mistyped type would stay open, with a
 * workflow task that fails repeatedly.
 * @throws ApplicationFailure UnknownWorkflow, always, with the types that exist.
 */
export default function unknownWorkflow(): Promise<never> {
  const { workflowType } = workflowInfo();
  const type = withoutControls(workflowType).slice(0, maxQuotedLength);
  const message = `there is no workflow type "${type}"; the types are ${closestNames(type, startedTypes).join(', ')}`;
  return Promise.reject(ApplicationFailure.nonRetryable(message, 'UnknownWorkflow'));
}
