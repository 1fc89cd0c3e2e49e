import { minorVersion, testedMinors } from '../../../model/cilium-versions.ts';
import { isChartFailure } from '../../helm/chart-source.ts';
import { block, pass, type PreflightCheck } from '../check.ts';

/** Checks that this version of Cilium was tested. */
export const chartVersion: PreflightCheck = {
  ensures: 'Migrations to this minor version of Cilium are tested.',
  verdicts: 'Blocks for a version of the chart whose minor version is not tested.',
  fix: 'Migrate to a tested version and upgrade Cilium afterwards; or test the migration in a copy of this cluster and waive this check.',
  rationale:
    'Before 1.19, agents do not know the excluded devices of the cutover (!flannel+); and the identity bridge computes identities by the label rules of 1.20, with which other versions do not agree: pods on Canal would then have another identity than on Cilium, and policies another result.',
  run: async (cluster) => {
    const version = await cluster.chart().then(
      (rendered) => rendered.version,
      (error: unknown) => {
        // A chart that cannot be rendered is reported by its own check.
        if (isChartFailure(error)) return undefined;
        throw error;
      }
    );
    if (version === undefined) return pass('the chart cannot be rendered');
    const minor = minorVersion(version);
    const tested = testedMinors.join(', ');
    return testedMinors.includes(minor)
      ? pass(`the chart has version ${version}; ${minor} is tested`)
      : block(`the chart has version ${version}; tested are versions of ${tested}`);
  },
};
