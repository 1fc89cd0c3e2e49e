import { parseInput, type MigrationInput } from '../../workflows/model/input.ts';
import { objections, type ClusterFacts } from '../../workflows/model/source.ts';

const facts: ClusterFacts = {
  kubernetesVersion: 'v1.37.2',
  canal: { version: 'v3.28.5', podCidr: '10.244.0.0/16', vni: 1, port: 8472 },
  ciliumOwnsCni: false,
  leftovers: false,
  nodeCount: 2,
  networks: [
    { cidr: '10.244.0.0/16', owner: "Canal's pods" },
    { cidr: '10.96.0.0/16', owner: 'services' },
    { cidr: '192.0.2.11', owner: 'node a' },
  ],
};

function input(request: object = {}): MigrationInput {
  const parsed = parseInput({ cluster: 'prod', ...request });
  if ('problems' in parsed) throw new Error(parsed.problems.join());
  return parsed.input;
}

describe('objections', () => {
  it('has none to a sound plan', () => {
    expect(objections(facts, input())).toEqual([]);
  });

  it.each([
    ["the source's own CIDR", { podCidr: '10.244.128.0/17' }, 'UnsuitablePodCidr', "10.244.0.0/16 (Canal's pods)"],
    ['the services', { podCidr: '10.96.0.0/12' }, 'UnsuitablePodCidr', 'services'],
    ['a node', { podCidr: '192.0.0.0/16' }, 'UnsuitablePodCidr', 'node a'],
    ['a CIDR for one node', { podCidr: '10.245.0.0/24' }, 'UnsuitablePodCidr', '1 node ranges'],
    ["Flannel's port", { tunnelPort: 8472 }, 'TunnelPortInUse', '8472'],
  ])('objects to %s', (_, request, type, words) => {
    const [objection, ...more] = objections(facts, input(request));
    expect(more).toEqual([]);
    expect(objection).toMatchObject({ type });
    expect(objection?.message).toContain(words);
  });
});
