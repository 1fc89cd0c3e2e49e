import { permissions as needed, type Permission } from '../../kubernetes/permissions.ts';
import { unlessEmpty, type PreflightCheck } from '../check.ts';
import { few } from '../cluster-reader.ts';

/** Whether the worker may do what it will have to do. */
export const permissions: PreflightCheck = {
  ensures: 'The worker has every right that the migration needs, to its last step: the API server is asked about each.',
  verdicts: 'Blocks for each right that is missing.',
  fix: 'Give the worker’s user or service account these rights.',
  why: 'A right that is missing would be found in the middle, with nodes cordoned.',
  run: async ({ connection }) => {
    const asked = needed.flatMap((permission) => permission.verbs.map((verb) => ({ permission, verb })));
    const answers = await Promise.all(
      asked.map(async ({ permission, verb }) => {
        const { group, resource: whole, namespace } = permission;
        const [resource, subresource] = whole.split('/');
        const review = await connection.authorization.createSelfSubjectAccessReview({
          body: {
            spec: {
              resourceAttributes: {
                group,
                verb,
                ...(resource !== undefined && { resource }),
                ...(subresource !== undefined && { subresource }),
                ...(namespace !== undefined && { namespace }),
              },
            },
          },
        });
        return review.status?.allowed === true ? [] : [text(permission, verb)];
      })
    );
    const missing = answers.flat();
    return unlessEmpty(
      'block',
      missing.length > 0 ? [`missing: ${few(missing, 20)}`] : [],
      `all ${asked.length} rights are there`
    );
  },
};

function text({ group, resource, namespace }: Permission, verb: string): string {
  const where = namespace === undefined ? '' : ` in ${namespace}`;
  return `${verb} ${resource}${group === '' ? '' : `.${group}`}${where}`;
}
