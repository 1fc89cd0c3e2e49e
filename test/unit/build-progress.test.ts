import { BuildReporter } from '../../lab/tools/build-reporter.ts';
import { getBuildCost } from '../../lab/tools/build-costs.ts';
import { formatState, formatTool, estimateRemainingMs, estimateWorkMs } from '../../lab/tools/build-progress.ts';
import { PackageCounter } from '../../lab/tools/go-build.ts';
import type { PackageCount, ReportStep } from '../../lab/tools/artefact.ts';

const minute = 60_000;

describe('one line', () => {
  it('shows all tools, and the packages, the time and the remaining time of each that is being built', () => {
    const line = formatState({
      elapsedMs: 12 * minute + 3_000,
      done: 3,
      total: 17,
      remainingMs: 8.2 * minute,
      running: [
        {
          name: 'kubernetes',
          doing: 'kube-apiserver',
          elapsedMs: 5 * minute,
          count: { done: 1200, total: 2800 },
          countingMs: 3 * minute,
        },
        { name: 'debian-clang', doing: 'clang-19, ccache', elapsedMs: 9_000 },
      ],
    });

    expect(line).toBe(
      ' 12:03  3 of 17 tools, about 9 min left' +
        ' | kubernetes: kube-apiserver 1200 of 2800 packages, 5:00, about 4 min left' +
        ' | debian-clang: clang-19, ccache, 0:09'
    );
  });

  it('names a tool once when its only program has the same name', () => {
    expect(formatTool({ name: 'prober', doing: 'prober', elapsedMs: 1_000 })).toBe('prober, 0:01');
  });

  it('does not estimate from a few packages', () => {
    expect(estimateRemainingMs({ done: 3, total: 200 }, 1_000)).toBeUndefined();
    expect(estimateRemainingMs({ done: 50, total: 200 }, 10_000)).toBe(30_000);
    expect(estimateRemainingMs({ done: 200, total: 200 }, 10_000)).toBe(0);
    expect(formatTool({ name: 'a', doing: '', elapsedMs: 0, count: { done: 0, total: 9 }, countingMs: 0 })).toContain(
      'not known yet'
    );
  });

  it('estimates the remaining time from the speed so far', () => {
    expect(estimateWorkMs({ doneSeconds: 100, leftSeconds: 300 }, 200_000)).toBe(600_000);
    expect(estimateWorkMs({ doneSeconds: 0, leftSeconds: 180 }, 5_000)).toBe(100_000);
  });
});

describe('counting packages', () => {
  it('counts each awaited package once', () => {
    const counts: PackageCount[] = [];
    const counter = new PackageCounter(['a', 'b', 'c'], (count) => counts.push(count));

    for (const line of ['a', 'not/awaited', 'a', 'c']) counter.take(line);

    expect(counts).toEqual([
      { done: 0, total: 3 },
      { done: 1, total: 3 },
      { done: 2, total: 3 },
    ]);
  });
});

describe('a reporter', () => {
  const names = ['etcd', 'helm'];
  const reporterWith = (
    terminal: boolean
  ): { reporter: BuildReporter; lines: string[]; drawn: string[]; pass: (ms: number) => void } => {
    let now = 0;
    const lines: string[] = [];
    const drawn: string[] = [];
    const output = {
      log: (line: string) => void lines.push(line),
      ...(terminal && { terminal: { columns: 60, write: (text: string) => drawn.push(text) > 0 } }),
    };
    const reporter = new BuildReporter(names, output, () => now);
    return { reporter, lines, drawn, pass: (ms) => (now += ms) };
  };
  const building = async ({ reporter, pass }: ReturnType<typeof reporterWith>): Promise<void> =>
    reporter.run('etcd', 'built', (reportStep: ReportStep) => {
      reportStep('etcd', { done: 0, total: 40 });
      pass(minute);
      reportStep('etcd', { done: 30, total: 40 });
      reporter.tick();
      return Promise.resolve();
    });

  it('logs a line at the start, periodically, and at the end', async () => {
    const fixture = reporterWith(false);

    await building(fixture);

    const left = getBuildCost('etcd').seconds / 4 + getBuildCost('helm').seconds;
    expect(left).toBeGreaterThan(0);
    expect(fixture.lines).toEqual([
      '  0:00  etcd: started',
      expect.stringMatching(
        /^ {2}1:00 {2}0 of 2 tools, .* left \| etcd 30 of 40 packages, 1:00, less than a minute left$/
      ),
      '  1:00  etcd: built in 60 s',
    ]);
  });

  it('rewrites one line on a terminal, never wider than the terminal', async () => {
    const fixture = reporterWith(true);

    await building(fixture);
    fixture.reporter.stop();

    expect(fixture.lines).toEqual(['  0:00  etcd: started', '  1:00  etcd: built in 60 s']);
    const erase = '\r\u001b[2K';
    expect(fixture.drawn.every((text) => text.startsWith(erase))).toBe(true);
    expect(fixture.drawn.some((text) => text.includes('0 of 2 tools'))).toBe(true);
    expect(Math.max(...fixture.drawn.map((text) => text.length - erase.length))).toBeLessThan(60);
    expect(fixture.drawn.at(-1)).toBe(erase);
  });

  it('names the package at which a build failed', async () => {
    const { reporter, lines } = reporterWith(false);
    const failing = reporter.run('helm', 'built', (reportStep) => {
      reportStep('helm');
      return Promise.reject(new Error('no'));
    });

    await expect(failing).rejects.toThrow('no');
    expect(lines.at(-1)).toBe('  0:00  helm: NOT built, it was at helm');
  });
});
