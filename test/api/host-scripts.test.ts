import { buildMissing } from '../../lab/tools/build.ts';
import { loadCatalogue } from '../../lab/tools/catalogue.ts';
import { runInHostSandbox, sandboxFolders } from '../support/host-sandbox.ts';

const link = 'cali0123456789a';
const otherLink = 'cali0123456789b';
const canalFile = 'etc/cni/net.d/10-canal.conflist';
const ciliumFile = 'etc/cni/net.d/05-cilium.conflist';
const store = 'var/lib/cni/networks/k8s-pod-network';

const refusal = (reason: RegExp) => expect.stringMatching(reason) as string;
const canalRefusal = refusal(/^report: refused, nothing was removed: pods of this node are still on Canal/);
const ciliumRefusal = refusal(/^report: refused, nothing was removed: pods of this node are still on Cilium/);

describe('clean-canal.sh', () => {
  const files = { [canalFile]: '{}', 'opt/cni/bin/calico': '', 'etc/cni/net.d/87-other.conflist': '{}' };

  it.each([
    ['whose other end a process has', `start_pod ${link} 10.244.1.5`],
    [
      'with a route',
      `ip link add ${link} type veth peer name peer; ip link set ${link} up; ip link set peer up
       ip route add 10.244.1.5 dev ${link}`,
    ],
    [
      'with a neighbor',
      `ip link add ${link} type veth peer name peer; ip link set ${link} up
       ip neighbor add 10.244.1.5 lladdr 02:00:00:00:00:01 dev ${link} nud permanent`,
    ],
  ])('removes nothing while there is a link %s', async (_, pod) => {
    const lines = await runInHostSandbox(
      `${pod}
       ip link add ${otherLink} type veth peer name unused
       run_script clean-canal; print_links; print_files`,
      { files }
    );

    expect(lines.slice(0, 3)).toEqual(['exit: 3', canalRefusal, `report: link ${link} serves 10.244.1.5`]);
    expect(lines).toEqual(expect.arrayContaining([`link: ${link}`, `link: ${otherLink}`, `file: ${canalFile}`]));
  });

  it('removes nothing while an agent of Canal runs', async () => {
    const lines = await runInHostSandbox(`start_process flanneld; run_script clean-canal; print_files`, { files });

    expect(lines.slice(0, 3)).toEqual([
      'exit: 3',
      'report: refused, nothing was removed: agents of Canal still run on this node; stop them',
      refusal(/^report: process flanneld \(\d+\)$/),
    ]);
    expect(lines).toContain(`file: ${canalFile}`);
  });

  it('removes the files and the links that serve no pod, also after the last pod has ended', async () => {
    const lines = await runInHostSandbox(
      `start_pod ${link} 10.244.1.5; end_pod ${link}
       ip link add ${otherLink} type veth peer name unused
       run_script clean-canal; print_links; print_files`,
      { files }
    );

    expect(lines).toEqual(['exit: 0', 'file: etc/cni/net.d/87-other.conflist']);
  });

  it('works in the folders of the installation', async () => {
    const folders = { config: '/var/cni/conf', plugins: '/var/cni/bin', addresses: '/var/cni/networks/pods' };
    const moved = {
      'var/cni/conf/10-canal.conflist': '{}',
      'var/cni/bin/calico': '',
      'var/cni/networks/pods/10.244.1.5': 'container',
    };

    const lines = await runInHostSandbox('run_script clean-canal; print_files', {
      files: { ...files, ...moved },
      folders,
    });

    expect(lines).toEqual(['exit: 0', ...Object.keys(files).map((file) => `file: ${file}`)].sort());
  });
});

describe('clean-canal.sh next to tables of nftables', () => {
  let layers: readonly string[] = [];
  beforeAll(async () => {
    const { scriptArtefacts, scriptLayers } = await loadCatalogue();
    await buildMissing(scriptArtefacts, () => undefined);
    layers = scriptLayers;
  });

  const tables = `
    table ip kube-proxy {
      chain nat-postrouting {
        type nat hook postrouting priority srcnat
        ip daddr != 224.0.0.0/4 masquerade
      }
    }
    table ip flannel-ipv4 {
      chain postrtg { type nat hook postrouting priority srcnat; }
    }`;
  const prepare = `
    in_root nft -f - <<'END'
      ${tables}
END
    for iptables in iptables-nft ip6tables-nft iptables-legacy; do
      in_root $iptables -N cali-FORWARD
      in_root $iptables -A FORWARD -j cali-FORWARD -m comment --comment cali:wUHhoiAYhphO9Mso
      in_root $iptables -N KUBE-FORWARD
      in_root $iptables -A FORWARD -j KUBE-FORWARD
    done
    in_root ipset create cali40all-ipam-pools hash:net`;
  const print = `
    for iptables in iptables-nft ip6tables-nft iptables-legacy; do
      in_root $iptables -S FORWARD | sed "s/^/$iptables /"
      in_root $iptables -S | grep cali | sed "s/^/left: /" || true
    done
    in_root ipset list -name
    in_root nft list tables`;

  it('removes the chains of iptables in both variants, and leaves every table', async () => {
    const lines = await runInHostSandbox(`${prepare}\n run_script clean-canal\n ${print}`, { layers });

    expect(lines).toEqual([
      'exit: 0',
      ...['iptables-nft', 'ip6tables-nft', 'iptables-legacy'].flatMap((iptables) => [
        `${iptables} -P FORWARD ACCEPT`,
        `${iptables} -A FORWARD -j KUBE-FORWARD`,
      ]),
      ...['table ip kube-proxy', 'table ip flannel-ipv4', 'table ip filter', 'table ip6 filter'],
    ]);
  });
});

describe('clean-cilium.sh', () => {
  const backup = `${canalFile}.cilium_bak`;
  const pod = 'start_pod lxc0a1b2c3d4e5f 10.245.1.5';

  it('removes nothing while a link serves a pod', async () => {
    const lines = await runInHostSandbox(`${pod}; run_script clean-cilium; print_links; print_files`, {
      files: { [backup]: '{}', [ciliumFile]: '{}' },
    });

    expect(lines).toEqual([
      'exit: 3',
      ciliumRefusal,
      'report: link lxc0a1b2c3d4e5f serves 10.245.1.5',
      'link: lxc0a1b2c3d4e5f',
      `file: ${ciliumFile}`,
      // Restored first; Cilium's sorts before it.
      `file: ${canalFile}`,
    ]);
  });

  it('removes nothing while the agent runs', async () => {
    const lines = await runInHostSandbox(`start_process cilium-agent; run_script clean-cilium; print_files`, {
      files: { [canalFile]: '{}', [ciliumFile]: '{}' },
    });

    expect(lines).toEqual(expect.arrayContaining(['exit: 3', `file: ${ciliumFile}`]));
  });

  it('removes nothing when the node would have no CNI file any more', async () => {
    const lines = await runInHostSandbox('run_script clean-cilium; print_files', { files: { [ciliumFile]: '{}' } });

    expect(lines).toEqual([
      'exit: 3',
      refusal(/this node has no CNI file of another network/),
      'report: /etc/cni/net.d',
      `file: ${ciliumFile}`,
    ]);
  });

  it("restores the source's CNI file, then removes Cilium's", async () => {
    const lines = await runInHostSandbox(
      `${pod}; end_pod lxc0a1b2c3d4e5f; ip link add cilium_host type veth peer name cilium_net
       run_script clean-cilium; print_links; print_files`,
      { files: { [backup]: '{}', [ciliumFile]: '{}', 'opt/cni/bin/cilium-cni': '' } }
    );

    expect(lines).toEqual(['exit: 0', `file: ${canalFile}`]);
  });
});

describe('restore-source-cni.sh', () => {
  const lease = (last: number) => `${store}/10.244.1.${last}`;
  const files = { [`${canalFile}.cilium_bak`]: '{}', [ciliumFile]: '{}' };
  const leases = (lines: readonly string[]) => lines.filter((line) => line.includes(store));

  it("restores the source's CNI file", async () => {
    const lines = await runInHostSandbox('run_script restore-source-cni; print_files', { files });

    expect(lines).toEqual(['exit: 0', 'report: 10-canal.conflist', `file: ${canalFile}`]);
  });

  it('releases the addresses of pods that are gone, and no others', async () => {
    const lines = await runInHostSandbox(
      `start_pod ${link} 10.244.1.5
       touch -d '1 hour ago' $host/${lease(5)} $host/${lease(6)}
       run_script restore-source-cni; print_files`,
      // The last one belongs to a pod whose network is being set up.
      { files: { ...files, [lease(5)]: 'running', [lease(6)]: 'gone', [lease(7)]: 'starting' } }
    );

    expect(leases(lines)).toEqual([lease(5), lease(7), `${store}/lock`].map((file) => `file: ${file}`));
  });

  it("waits for the plugin's lock", async () => {
    const lines = await runInHostSandbox(
      `exec 8>>$host/${store}/lock; flock 8; touch -d '1 hour ago' $host/${lease(6)}
       ( sleep 2; ls $host/${store} | sed 's/^/while locked: /'; flock --unlock 8 ) &
       run_script restore-source-cni 8>&-; wait; print_files`,
      { files: { ...files, [lease(6)]: 'gone' } }
    );

    expect(lines).toContain('while locked: 10.244.1.6');
    expect(leases(lines)).toEqual([`file: ${store}/lock`]);
  });

  it('leaves addresses for ten rounds of 110 pods in a /24, whose plugin never released one', async () => {
    const lines = await runInHostSandbox(
      `store=$host/${store}; next=1
       # As host-local assigns addresses: the next one that is free.
       assign() {
         for _ in {1..253}; do
           next=$((next % 254 + 1))
           [ -e $store/10.244.1.$next ] || { echo container >$store/10.244.1.$next; return 0; }
         done
         echo "no address is left"; return 1
       }
       start_pod ${link} 10.244.1.2; assign
       for round in {1..10}; do
         for pod in {1..110}; do assign; done
         echo "round $round: $(ls $store | grep -c '^10') addresses"
         touch -d '1 hour ago' $store/*
         run_script restore-source-cni
       done; print_files`,
      { files: { ...files, [`${store}/lock`]: '' } }
    );

    expect(lines.filter((line) => line.startsWith('round'))).toEqual(
      Array.from({ length: 10 }, (_, index) => `round ${index + 1}: 111 addresses`)
    );
    expect(leases(lines)).toEqual([`file: ${lease(2)}`, `file: ${store}/lock`]);
  });

  it('releases nothing where the IPAM of the source keeps no addresses', async () => {
    const lines = await runInHostSandbox(
      `touch -d '1 hour ago' $host/${lease(6)}; run_script restore-source-cni; print_files`,
      { files: { ...files, [lease(6)]: 'another network' }, folders: { ...sandboxFolders, addresses: null } }
    );

    expect(leases(lines)).toEqual([`file: ${lease(6)}`]);
  });
});
