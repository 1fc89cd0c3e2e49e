/**
 * The admission policy by which the API server verifies the user of every MigrationApproval. Without it, an approval
 * proves nothing: its creator could name any user.
 */
import { isDeepStrictEqual } from 'node:util';
import type { KubernetesObject } from '@kubernetes/client-node';
import { approvalGroup, approvalResource } from '../../model/migration-approval.ts';
import { failure } from '../support/failures.ts';
import type { ClusterConnection } from './connection.ts';
import { ifFound, ifKnown } from './errors.ts';

/** Name of the policy and of its binding. */
export const approvalPolicy = 'cni-live-migration-approvals';

const apiVersion = 'admissionregistration.k8s.io/v1';

interface PolicyObject extends KubernetesObject {
  apiVersion: string;
  kind: string;
  metadata: { name: string };
  spec: object;
}

/** The policy and its binding, with every default of the API server, so that both can be compared. */
export const approvalPolicyObjects: readonly [PolicyObject, PolicyObject] = [
  {
    apiVersion,
    kind: 'ValidatingAdmissionPolicy',
    metadata: { name: approvalPolicy },
    spec: {
      failurePolicy: 'Fail',
      matchConstraints: {
        matchPolicy: 'Equivalent',
        namespaceSelector: {},
        objectSelector: {},
        resourceRules: [
          {
            apiGroups: [approvalGroup],
            apiVersions: ['*'],
            operations: ['CREATE', 'UPDATE'],
            resources: [approvalResource],
            scope: '*',
          },
        ],
      },
      validations: [
        {
          expression: "request.operation != 'CREATE' || object.spec.user == request.userInfo.username",
          messageExpression: "'spec.user must be the user who creates the approval: ' + request.userInfo.username",
          reason: 'Forbidden',
        },
        {
          expression: "request.operation != 'UPDATE' || object.spec == oldObject.spec",
          message: 'an approval cannot be changed: delete it, or create another one',
          reason: 'Forbidden',
        },
      ],
    },
  },
  {
    apiVersion,
    kind: 'ValidatingAdmissionPolicyBinding',
    metadata: { name: approvalPolicy },
    spec: { policyName: approvalPolicy, validationActions: ['Deny'] },
  },
];

/**
 * Checks that the policy and its binding are in the cluster, as this build expects them.
 * @returns the time since when both exist (Unix ms, in whole seconds).
 * @throws ApprovalsUnverifiable when one of them is missing or differs.
 */
export async function requireApprovalPolicy(connection: ClusterConnection): Promise<number> {
  const times = await Promise.all(approvalPolicyObjects.map((expected) => requireUnchanged(connection, expected)));
  return Math.max(...times);
}

async function requireUnchanged({ objects }: ClusterConnection, expected: PolicyObject): Promise<number> {
  const { kind, metadata, spec } = expected;
  const read = objects.read<KubernetesObject & { spec?: object }>({ apiVersion, kind, metadata });
  const found = await ifKnown(ifFound(read));
  const problem = (text: string) =>
    failure(
      'ApprovalsUnverifiable',
      `the ${kind} ${metadata.name} ${text}, so that an approval in the cluster would not prove who created it; ` +
        'apply deploy/approvals/approvals.yaml of this release as an administrator, which needs Kubernetes 1.30 or newer'
    );
  if (found === undefined) throw problem('is missing');
  // Objects of the client library have undefined fields.
  if (!isDeepStrictEqual(toJson(found.spec), spec)) throw problem('differs from the one of this release');
  if (found.metadata?.deletionTimestamp !== undefined) throw problem('is being deleted');
  return new Date(found.metadata?.creationTimestamp ?? Number.NaN).getTime();
}

function toJson(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value ?? null)) as unknown;
}
