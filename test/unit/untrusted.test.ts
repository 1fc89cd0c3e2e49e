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
  ['a client secret, by its name', { a: { clientSecret: 'x' } }],
  ['a list of tokens, by its name', { a: { token: ['x'] } }],
  ['a short name', { a: { pwd: 'x' } }],
  ['a token of GitHub', { a: { b: `ghp_${'a1'.repeat(18)}` } }],
  ['a token of Slack', { a: { b: 'xoxb-1234567890-x' } }],
  ["Docker's configuration", { a: { b: '{"auths": {"registry.example": {}}}' } }],
  ['a URL with a password', { a: { b: 'see http://ann:hunter2@registry.example/v2' } }],
  ['a kubeconfig', { a: { b: 'users:\n- user:\n    client-key-data: x' } }],
])('finds %s without quoting it', (_what, value) => {
  const [problem = '', ...more] = untrustedProblems(value);
  expect(more).toEqual([]);
  expect(problem).toMatch(/^a\.(b|adminPassword|secret-key|clientSecret|token\.0|pwd): looks like a secret/);
  expect(problem).not.toContain(token);
});

it.each([
  ['names of Secrets', { tls: { secretName: 'cilium-ca', secretsNamespace: { name: 'cilium-secrets' } } }],
  ['no password', { password: '' }],
  ['a certificate', { ca: '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----' }],
  ['a URL with a port', { url: 'http://registry.example:8080/a@b', proxy: 'http://[::1]:3128/' }],
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

// A search that starts again at each of many places takes a minute for each of these texts, instead of milliseconds.
it.each([
  ['starts of web tokens', 'eyJ-'],
  ['starts of web tokens, each after a full stop', '.eyJabc'],
  ['names of keys of a kubeconfig', 'client-key-data '],
  ['starts of private keys', '-----BEGIN A '],
  ['starts of URLs', '://a:'],
  ['spaces after the name of a key', ' '],
])('searches texts of many %s once', (_title, part) => {
  const text = `${part === ' ' ? 'client-key-data' : 'x'}${part.repeat(240_000 / part.length)}`;

  const found = Array.from({ length: 20 }, () => untrustedProblems({ a: text }));

  expect(found.flat()).toEqual([]);
});

it('does not search a text that is longer than the limit, or the paths of its parts', () => {
  expect(untrustedProblems({ a: `client-key-data${' '.repeat(2_000_000)}` })).toEqual([
    'the input: has more than 250000 characters',
  ]);
  expect(untrustedProblems(Array(1_000_000).fill(0))).toEqual(['the input: has more than 20000 entries']);
  expect(untrustedProblems({ ['k'.repeat(100_000)]: Array(19_000).fill('x') })).toEqual([]);
});
