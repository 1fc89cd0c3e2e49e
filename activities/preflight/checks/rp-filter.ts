import { summarizeList } from '../../../model/summarize.ts';
import { block, pass, warn, worst, type PreflightCheck } from '../check.ts';

/**
 * Checks that the reverse path filter does not drop traffic that arrives through one overlay and leaves through the
 * other.
 */
export const rpFilter: PreflightCheck = {
  ensures: "The reverse path filter is not strict on Flannel's interface of any node.",
  verdicts:
    "Blocks when rp_filter of Flannel's interface is 1 and policyMode is off; warns when it is 1 with another policyMode, and when 1 is the default for new interfaces. The value for all interfaces is not evaluated: Cilium's agents set it to 0, as those of Cilium's own interfaces.",
  fix: "Set rp_filter of Flannel's interface to 2, as in net.ipv4.conf.flannel/1.rp_filter = 2, and net.ipv4.conf.default.rp_filter to 0 or 2; also in /etc/sysctl.d.",
  rationale:
    'Without the identity bridge (policyMode off), answers of pods on Cilium to pods on Canal arrive through the other overlay than the requests left. Strict filtering drops them where the interface itself has 1, which is the default of RHEL (cilium/cilium#10645; cilium pkg/datapath/loader/base.go, v1.20).',
  run: async ({ hosts, input, canalFacts }) => {
    const facts = await hosts();
    if (facts === undefined) return warn('not checked: nodeInspection is off');
    // Flannel names its interface by its VNI (flannel pkg/backend/vxlan).
    const flannel = `flannel.${(await canalFacts())?.vni ?? 1}`;
    const strict = (key: string) => [...facts].filter(([, host]) => host.rpFilter[key] === 1).map(([node]) => node);
    const [overlay, byDefault] = [strict(flannel), strict('default')];
    const text = `rp_filter of ${flannel} is 1 on ${summarizeList(overlay)}`;
    const finding = input.policyMode === 'off' ? block(text) : warn(text);
    return worst(
      overlay.length > 0 ? finding : pass(`not strict on ${flannel} of any inspected node`),
      byDefault.length > 0 ? warn(`net.ipv4.conf.default.rp_filter is 1 on ${summarizeList(byDefault)}`) : pass()
    );
  },
};
