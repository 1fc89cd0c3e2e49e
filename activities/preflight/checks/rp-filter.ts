import { summarizeList } from '../../../model/summarize.ts';
import { pass, warn, worst, block, type PreflightCheck } from '../check.ts';

/**
 * Checks that the reverse path filter does not drop traffic that arrives through one overlay and leaves through the
 * other.
 */
export const rpFilter: PreflightCheck = {
  ensures: 'The reverse path filter is not strict on any node.',
  verdicts:
    'Blocks when net.ipv4.conf.all.rp_filter is 1, which overrides the value of single interfaces of Cilium; warns when 1 is the default for new interfaces.',
  fix: 'Set net.ipv4.conf.all.rp_filter and net.ipv4.conf.default.rp_filter to 0 or 2, also in /etc/sysctl.d.',
  rationale: 'While both overlays exist, a request and its response may take different paths (cilium/cilium#10645).',
  run: async ({ hosts }) => {
    const facts = await hosts();
    if (facts === undefined) return warn('not checked: nodeInspection is off');
    // The higher value of "all" and the interface applies (Linux: Documentation/networking/ip-sysctl.rst).
    const strict = (key: 'all' | 'default') =>
      [...facts].filter(([, host]) => host.rpFilter[key] === 1).map(([node]) => node);
    const [all, byDefault] = [strict('all'), strict('default')];
    return worst(
      all.length > 0
        ? block(`net.ipv4.conf.all.rp_filter is 1 on ${summarizeList(all)}`)
        : pass('not strict on any inspected node'),
      byDefault.length > 0 ? warn(`net.ipv4.conf.default.rp_filter is 1 on ${summarizeList(byDefault)}`) : pass()
    );
  },
};
