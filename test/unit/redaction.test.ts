import { withoutSecrets } from '../../activities/host/redaction.ts';

const token = `eyJ${'a'.repeat(20)}.eyJ${'b'.repeat(20)}.${'c'.repeat(20)}`;

it('removes the values of keys, and keeps the rest', () => {
  const text = 'token: abc\n"client-key-data": "LS0t"\npassword=x y\nnamespace: kept\n"type": "calico"';

  expect(withoutSecrets(text)).toBe(
    'token: <removed>\n"client-key-data": <removed>\npassword=<removed> y\nnamespace: kept\n"type": "calico"'
  );
});

it.each([
  `Authorization: Bearer ${token}`,
  'Authorization: Basic aHVudGVyMg==',
  '{"authorization": "hunter2"}',
  '"etcd_key": "hunter2"',
  'apiKey=hunter2',
  'passwd=hunter2',
  'pwd: hunter2',
  '"password": "a\\"hunter2"',
  '{\\"token\\": \\"hunter2\\"}',
  'http_proxy=http://ann:hunter2@proxy.example:3128',
  'http://hunter2@proxy.example',
  `--kubelet-arg ${token}`,
  '-----BEGIN RSA PRIVATE KEY-----\nhunter2\n-----END RSA PRIVATE KEY-----',
])('removes the secret of %s', (text) => {
  const left = withoutSecrets(`before\n${text}\nafter`);

  expect(left).not.toMatch(/hunter2|aHVudGVyMg|aaaaa|bbbbb|ccccc/);
  expect(left).toMatch(/^before\n[^]*\nafter$/);
});

it('keeps what diagnostics are for', () => {
  const text =
    'cilium_host 10.0.0.1/32 mtu 1450\n-A FORWARD -m comment --comment "cali:key" -j ACCEPT\nkey: 42 state: up\nhttps://10.0.0.1:6443/healthz';

  expect(withoutSecrets(text)).toBe(text);
});
