import { untrustedProblems } from '../../model/input-limits.ts';

const key = '-----BEGIN EC PRIVATE KEY-----\nMHcCAQ\n-----END EC PRIVATE KEY-----';
const token = `eyJ${'a'.repeat(20)}.eyJ${'b'.repeat(20)}.${'c'.repeat(20)}`;

it.each([
  ['a private key', { a: { b: key } }],
  ['the same in base64', { a: { b: Buffer.from(key).toString('base64') } }],
  ['the same, aligned otherwise', { a: { b: Buffer.from(` ${key}`).toString('base64') } }],
  ['the same, aligned otherwise again', { a: { b: Buffer.from(`  ${key}`).toString('base64') } }],
  ['a token', { a: { b: `Bearer ${token}` } }],
  ['a password, by its name', { a: { adminPassword: 'x' } }],
  ['a key, by its name', { a: { 'secret-key': 'x' } }],
  ['a kubeconfig', { a: { b: 'users:\n- user:\n    client-key-data: x' } }],
])('finds %s without quoting it', (_what, value) => {
  const [problem = '', ...more] = untrustedProblems(value);
  expect(more).toEqual([]);
  expect(problem).toMatch(/^a\.(b|adminPassword|secret-key): looks like a secret/);
  expect(problem).not.toContain(token);
});

it.each([
  ['names of Secrets', { tls: { secretName: 'cilium-ca', secretsNamespace: { name: 'cilium-secrets' } } }],
  ['no password', { password: '' }],
  ['a certificate', { ca: '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----' }],
  ['words', { reason: 'the token was replaced' }],
  ['nothing', undefined],
])('accepts %s', (_what, value) => {
  expect(untrustedProblems(value)).toEqual([]);
});

it('shortens long texts', () => {
  const many = Object.fromEntries(Array.from({ length: 1_000 }, (_one, index) => [`k${index}`, { password: 'x' }]));
  expect(untrustedProblems(many)).toHaveLength(20);
  const long = { ['k'.repeat(5_000)]: key };
  expect(untrustedProblems(long)[0]?.length).toBeLessThan(500);
  let deep: unknown = 1;
  for (let depth = 0; depth < 100_000; depth++) deep = { a: deep };
  expect(untrustedProblems(deep)).toEqual(['the input: is nested deeper than 30 levels']);
});
