import { parseAllDocuments } from 'yaml';
import { withPacketFilter } from '../../lab/cluster/canal-manifest.ts';
import { LabLayout, type LabRecord } from '../../lab/cluster/layout.ts';
import { nodeServices } from '../../lab/cluster/node.ts';
import { choosePacketFilter } from '../../lab/cluster/records.ts';
import { buildCanalFacts } from '../../activities/canal/detect.ts';
import { canalInstallation } from '../support/preflight-cluster.ts';

const record: LabRecord = { name: 'lab', index: 1, nodes: 1 };

/** The part of Calico's manifest that contains Flannel's configuration. */
const manifest = `kind: ConfigMap
apiVersion: v1
metadata:
  name: canal-config
data:
  typha_service_name: "none"
  net-conf.json: |
    {
      "Network": "10.244.0.0/16",
      "Backend": {
        "Type": "vxlan"
      }
    }
---
kind: Secret
`;

/** Returns the data of the ConfigMap in a manifest. */
function readData(text: string): Record<string, string> {
  const [configMap] = parseAllDocuments(text).map((document) => document.toJS() as { data: Record<string, string> });
  return configMap?.data ?? {};
}

describe('the packet filter of a lab', () => {
  it.each([
    ['iptables', undefined],
    ['nftables', true],
  ] as const)('%s is that of Flannel', (packetFilter, expected) => {
    const data = readData(withPacketFilter(manifest, packetFilter));

    expect((JSON.parse(data['net-conf.json'] ?? '') as { EnableNFTables?: boolean }).EnableNFTables).toBe(expected);
    expect(buildCanalFacts(canalInstallation(), data)).toMatchObject({ podCidr: '10.244.0.0/16', port: 8472 });
  });

  it('is not written to a manifest without a configuration of Flannel', () => {
    expect(() => withPacketFilter('kind: Secret\n', 'nftables')).toThrow('no net-conf.json');
  });

  it.each([
    [undefined, 'iptables'],
    ['nftables', 'nftables'],
  ] as const)('%s is that of kube-proxy', (packetFilter, mode) => {
    const layout = new LabLayout({ ...record, ...(packetFilter && { packetFilter }) });

    expect(nodeServices(layout, 'node1')['kube-proxy']).toMatch(new RegExp(`--proxy-mode[= ]'?${mode}`));
  });

  it.each([
    [undefined, undefined, 'iptables'],
    [undefined, 'nftables', 'nftables'],
    [record, undefined, 'iptables'],
    [{ ...record, packetFilter: 'nftables' }, undefined, 'nftables'],
    [{ ...record, packetFilter: 'nftables' }, 'nftables', 'nftables'],
  ] as const)('of the existing lab %j, with the option %s, is %s', (existing, chosen, expected) => {
    expect(choosePacketFilter(existing, chosen)).toBe(expected);
  });

  it('of an existing lab does not change', () => {
    expect(() => choosePacketFilter(record, 'nftables')).toThrow('lab lab uses iptables: remove it first');
  });
});
