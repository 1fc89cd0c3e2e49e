import { checkEntries } from '../../lab/tools/archive-entries.ts';

const line = (mode: string, name: string, rest = ''): string => `${mode} 0/0 12 1970-01-01 00:00:00 "${name}"${rest}`;
const file = (name: string): string => line('-rwxr-xr-x', name);
const link = (name: string, target: string): string => line('lrwxrwxrwx', name, ` -> "${target}"`);
const hardLink = (name: string, target: string): string => line('hrw-r--r--', name, ` link to "${target}"`);
const device = (name: string): string => `crw-rw-rw- 0/0 1,3 1970-01-01 00:00:00 "${name}"`;

it('accepts the entries of tools: files, folders, symbolic links to any path, hard links within the archive, devices in dev', () => {
  const listing = [
    line('drwxr-xr-x', './'),
    file('./bin/tool'),
    link('./etc/alternatives/awk', '/usr/bin/mawk'),
    link('./sbin', '../../usr/sbin'),
    hardLink('./bin/other', './bin/tool'),
    device('./rootfs/dev/null'),
    file('./a name with \\"quotes\\" and a \\\\ and -> an arrow'),
    '',
  ].join('\n');

  expect(() => checkEntries(listing)).not.toThrow();
});

it.each([
  ['an absolute path', [file('/etc/passwd')], 'outside'],
  ['a way out', [file('./bin/../../outside')], 'outside'],
  ['a file through a link', [link('./out', '/etc'), file('./out/passwd')], 'symbolic link'],
  ['a file through a link that comes later', [file('./out/passwd'), link('./out', '/etc')], 'symbolic link'],
  ['a file below a symbolic link', [link('./out', '/etc/passwd'), file('./out')], 'twice'],
  ['a hard link to a path outside', [hardLink('./x', '/etc/passwd')], 'hard link'],
  ['a hard link over a way out', [file('./a'), hardLink('./x', './../a')], 'hard link'],
  ['a hard link to a file that is not in it', [hardLink('./x', 'etc/passwd')], 'hard link'],
  ['a hard link to a symbolic link', [link('./s', '/etc/passwd'), hardLink('./x', './s')], 'hard link'],
  ['a block device', [line('brw-rw----', './rootfs/dev/sda')], 'kind'],
  ['a pipe', [line('prw-r--r--', './pipe')], 'kind'],
  ['a device that no Debian has', [device('./rootfs/dev/mem')], 'device'],
  ['a device elsewhere', [device('./bin/null')], 'device'],
  ['a line of an unknown form', ['something else'], 'unknown form'],
])('refuses %s', (_, lines, why) => {
  expect(() => checkEntries(lines.join('\n'))).toThrow(why);
});
