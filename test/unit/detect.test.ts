import { parseNetConf } from '../../activities/canal/detect.ts';

describe('parseNetConf', () => {
  it.each([
    ['{"Network": "10.244.0.0/16", "Backend": {"Type": "vxlan"}}', { podCidr: '10.244.0.0/16', vni: 1, port: 8472 }],
    [
      '{"Network": "10.1.0.0/16", "Backend": {"Type": "vxlan", "VNI": 7, "Port": 4789}}',
      { podCidr: '10.1.0.0/16', vni: 7, port: 4789 },
    ],
  ])('reads %s', (text, expected) => {
    expect(parseNetConf(text, 'here')).toEqual(expected);
  });

  it.each([
    [undefined, 'no readable net-conf.json'],
    ['{', 'no readable net-conf.json'],
    ['null', "Flannel's backend is undefined"],
    ['{"Network": "10.244.0.0/16", "Backend": {"Type": "host-gw"}}', `Flannel's backend is "host-gw"`],
    ['{"Backend": {"Type": "vxlan"}}', 'names no Network'],
  ])('refuses %s', (text, words) => {
    const failure = expect.objectContaining({ type: 'SourceNotFound', nonRetryable: true }) as Error;
    expect(() => parseNetConf(text, 'here')).toThrow(failure);
    expect(() => parseNetConf(text, 'here')).toThrow(words);
  });
});
