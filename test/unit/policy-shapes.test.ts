import { controlPolicies, matrixChecks, randomShapes, shapes, computeVerdicts } from '../support/policy-shapes.ts';

const networks = { podCidrs: ['10.244.0.0/16', '10.245.0.0/16'] as const, world: '10.99.1.1' };
const all = shapes(networks);

it('has at least sixty shapes, each of which allows some clients and denies others, except those for all or none', () => {
  expect(all.length).toBeGreaterThanOrEqual(60);
  const checks = matrixChecks(all, networks);
  const oneSided = all
    .map(({ name }) => name)
    .filter(
      (name) => new Set(checks.filter((check) => check.name === name).map((check) => check.allowedOther)).size === 1
    );
  for (const name of oneSided) {
    expect(name).toMatch(
      /all clients|no client|everything|outside|all |deny|addresses|account|protocol|Exists|too late|egress: a (range|named)/
    );
  }
});

it('has the same specified verdict in both networks', () => {
  const policies = [...controlPolicies, ...all.flatMap(({ policies: own }) => own)];
  expect(computeVerdicts(policies, networks).filter(({ verdict }) => verdict === 'different')).toEqual([]);
});

it('finds equal and different policies among random ones', () => {
  const same = randomShapes(1, 200, 20_000).filter(({ policies }) =>
    computeVerdicts(policies, networks).every(({ verdict }) => verdict !== 'different')
  );
  expect(same.length).toBeGreaterThan(50);
  expect(same.length).toBeLessThan(190);
});
