import { summarizeList } from '../../../model/summarize.ts';
import { unlessEmpty, type PreflightCheck } from '../check.ts';

/**
 * Maximum number of minor versions that a kubelet may be older than the API server
 * (kubernetes.io/releases/version-skew-policy).
 */
const mostBehind = 3;

/** Checks that the versions of kubelets and API server are compatible. */
export const versionSkew: PreflightCheck = {
  ensures: 'No kubelet is newer than the API server, or more than three minor versions older.',
  verdicts: 'Blocks when one is.',
  fix: 'Complete the upgrade of the cluster first.',
  rationale:
    'Version skew policy of Kubernetes; during an upgrade, its faults cannot be distinguished from those of the migration.',
  run: async ({ connection, nodes }) => {
    const { gitVersion } = await connection.version.getCode({});
    const server = parseMinor(gitVersion);
    const wrong = (await nodes()).flatMap(({ metadata, status }) => {
      const version = status?.nodeInfo?.kubeletVersion ?? '';
      const behind = server - parseMinor(version);
      return behind >= 0 && behind <= mostBehind ? [] : [`${metadata?.name} ${version}`];
    });
    return unlessEmpty(
      'block',
      wrong.length > 0 ? [`API server ${gitVersion}, kubelets ${summarizeList(wrong)}`] : [],
      `API server ${gitVersion}; all kubelets are compatible`
    );
  },
};

function parseMinor(version: string): number {
  const [, minor = ''] = version.replace(/^v/, '').split('.');
  return Number.parseInt(minor, 10);
}
