import { Attempts, repeatedStepText, type RepeatedStep, type StepFailure } from '../../model/attempts.ts';
import { findStepWait, nodeStepAnswers, openAnswers, stepAnswers } from '../../model/step-answers.ts';
import type { NodeStatus } from '../../model/status.ts';
import { waitText } from '../../model/wait.ts';

const leftOver: StepFailure = { type: 'CleanupIncomplete', message: 'left over on a: a link' };
const noAnswer: StepFailure = { type: 'ClusterUnreachable', message: 'connect ECONNREFUSED' };
const minuteMs = 60_000;

/** A step of which every attempt fails, on a clock of its own. */
class FailingStep {
  nowMs = 0;
  readonly attempts: Attempts;
  private readonly isSlow: boolean;
  private readonly attemptMs: number;

  /** @param attemptMs duration of one attempt in ms. */
  constructor({ attemptMs = 100, isSlow = false, bound = { attempts: 40, ms: 10 * minuteMs } } = {}) {
    this.attempts = new Attempts(0, bound);
    this.isSlow = isSlow;
    this.attemptMs = attemptMs;
  }

  /** Runs the next series. @returns its number of attempts. */
  fail(failure: StepFailure): number {
    const startMs = this.nowMs;
    const series = this.attempts.nextSeries(this.isSlow, startMs);
    for (let done = 0, pauseMs = series.firstPauseMs; done < series.attempts; done++, pauseMs *= 2)
      this.nowMs += this.attemptMs + (done === series.attempts - 1 ? 0 : Math.min(15_000, pauseMs));
    this.attempts.record(failure, { ...series, startMs }, this.nowMs);
    // As in a workflow: Temporal pauses between the attempts of a series only.
    if (series.attempts === 1) this.nowMs += series.firstPauseMs;
    return series.attempts;
  }

  /** Fails until the step is a question. @returns the times of the known failures. */
  failUntilQuestion(failure: StepFailure): number[] {
    const times = [];
    for (; this.attempts.state === 'repeating' && times.length < 1_000; times.push(this.nowMs)) this.fail(failure);
    return times;
  }

  get view(): RepeatedStep | undefined {
    return this.attempts.view('remove Canal', false, this.nowMs);
  }
}

describe('a step whose attempts fail', () => {
  it('is shown after its second attempt, with the failure', () => {
    const step = new FailingStep();
    expect(step.view).toBeUndefined();

    step.fail(leftOver);

    expect(step.view).toMatchObject({ step: 'remove Canal', state: 'repeating', attempts: 2, failure: leftOver });
  });

  it('is shown after its first attempt when that took a minute', () => {
    const step = new FailingStep({ isSlow: true, attemptMs: minuteMs });
    step.fail(leftOver);

    expect(step.view).toMatchObject({ attempts: 1 });
  });

  it('is shown a minute after its start when the second attempt takes long', () => {
    const step = new FailingStep({ isSlow: true, attemptMs: 10_000 });
    step.fail(leftOver);

    expect(step.view).toBeUndefined();
    // Ten seconds have passed, and the pause.
    expect(step.attempts.msUntilShown(step.nowMs)).toBe(49_000);
    expect(step.attempts.view('x', false, minuteMs)).toMatchObject({ attempts: 1, failure: leftOver });
  });

  it.each([100, 5_000, 50_000])('is updated every two minutes, with attempts of %s ms', (attemptMs) => {
    const step = new FailingStep({ attemptMs });

    const times = step.failUntilQuestion(leftOver);

    expect(times.filter((ms, index) => ms - (times[index - 1] ?? 0) > 2 * minuteMs)).toEqual([]);
  });

  it('becomes a question after its last attempt', () => {
    const step = new FailingStep({ bound: { attempts: 8, ms: 10 * minuteMs } });

    step.failUntilQuestion(leftOver);

    expect(step.view).toMatchObject({ state: 'stopped', attempts: 8 });
    expect(step.view).not.toHaveProperty('asksAt');
  });

  it('becomes a question after 10 minutes when its attempts are slow', () => {
    const step = new FailingStep({ attemptMs: 3 * minuteMs, isSlow: true });

    const [first = 0] = step.failUntilQuestion(leftOver);

    expect(step.view?.state).toBe('stopped');
    expect(step.nowMs - first).toBeLessThan(14 * minuteMs);
    expect(step.view?.attempts).toBeLessThan(40);
  });

  it('is not a question at its first failure, however long the attempt took', () => {
    const step = new FailingStep({ attemptMs: 20 * minuteMs, isSlow: true });
    step.fail(leftOver);

    expect(step.view?.state).toBe('repeating');
  });

  it('has as many attempts again after a retry, and their number continues', () => {
    const step = new FailingStep();
    step.failUntilQuestion(leftOver);
    expect(step.view).toMatchObject({ state: 'stopped', attempts: 40 });

    step.attempts.restart();

    expect(step.view).toMatchObject({ state: 'repeating', attempts: 40 });
    step.failUntilQuestion(leftOver);
    expect(step.view).toMatchObject({ state: 'stopped', attempts: 80 });
  });
});

describe('a step without an answer of the API server', () => {
  it('is a question after 10 minutes, whose attempts continue', () => {
    const step = new FailingStep();

    const times = step.failUntilQuestion(noAnswer);

    expect(step.view).toMatchObject({ state: 'overdue', failure: noAnswer });
    expect(step.nowMs).toBeGreaterThanOrEqual(10 * minuteMs);
    expect(times.length).toBeLessThan(10);
    expect(step.fail(noAnswer)).toBeGreaterThan(35);
    expect(step.view?.state).toBe('overdue');
  });

  it('adds one series an hour to the history after the first hour', () => {
    const step = new FailingStep();
    while (step.nowMs < 90 * minuteMs) step.fail(noAnswer);

    expect(step.fail(noAnswer)).toBeGreaterThan(200);
  });

  it('asks again 10 minutes after a retry', () => {
    const step = new FailingStep();
    step.failUntilQuestion(noAnswer);
    step.attempts.restart();
    const answeredMs = step.nowMs;

    expect(step.view?.state).toBe('repeating');
    step.failUntilQuestion(noAnswer);

    expect(step.nowMs - answeredMs).toBeGreaterThanOrEqual(10 * minuteMs);
  });

  it('starts to count when the API server answers, and the step fails for another reason', () => {
    const step = new FailingStep();
    step.failUntilQuestion(noAnswer);

    step.fail(leftOver);

    expect(step.view).toMatchObject({ state: 'repeating', failure: leftOver });
  });
});

describe('what people see', () => {
  const repeated: RepeatedStep = {
    ...{ step: 'remove Canal', state: 'stopped', attempts: 40, failure: leftOver },
    ...{ since: '2026-01-01T00:00:00.000Z', failedAt: '2026-01-01T00:10:00.000Z' },
  };
  const abort = { does: 'abort the migration', message: 'abort', input: {} };
  const retry = { does: 'try the step again', message: 'retry', input: { step: 'remove Canal' } };

  it('is the attempt and the failure, in each state', () => {
    const cause = '(CleanupIncomplete: left over on a: a link)';

    expect(repeatedStepText({ ...repeated, state: 'repeating', attempts: 7 })).toBe(
      `the step "remove Canal", which is repeated: attempt 7 failed ${cause}`
    );
    expect(repeatedStepText(repeated)).toBe(
      `the step "remove Canal", which is not repeated any more: attempt 40 failed ${cause}`
    );
  });

  it('is a decision with its answers when no attempt is left', () => {
    const wait = findStepWait({ repeatedSteps: [repeated], nodes: [] }, [abort]);

    expect(wait).toMatchObject({ kind: 'decision', key: 'remove Canal', answers: [retry, abort] });
    expect(wait && waitText(wait)).toMatch(/^a decision about the step "remove Canal", which is not repeated any more/);
  });

  it('offers to skip only what the migration can do without', () => {
    expect(stepAnswers(repeated, [repeated])).toEqual([retry]);
    const skippable = { ...repeated, mayBeSkipped: true };
    expect(stepAnswers(skippable, [skippable]).map(({ message }) => message)).toEqual(['retry', 'skip']);
    expect(stepAnswers({ ...skippable, state: 'overdue' }, []).map(({ message }) => message)).toEqual(['retry']);
    expect(stepAnswers({ ...skippable, state: 'repeating' }, [])).toEqual([]);
  });

  it('offers to retry all when several steps ask', () => {
    const answers = stepAnswers(repeated, [repeated, { ...repeated, step: 'other' }]);

    expect(answers).toContainEqual({
      does: 'retry it and 1 other steps that wait',
      message: 'retry',
      input: { all: true },
    });
  });

  it('is the question of a node before a step that is still repeated', () => {
    const progress = { node: 'a', blockers: [], parentRunId: '', repeatedSteps: [{ ...repeated, step: 'a: drain' }] };
    const answers = nodeStepAnswers(progress, { phase: 'migrate' });
    const nodes: NodeStatus[] = [{ name: 'a', state: 'migrating', repeatedSteps: progress.repeatedSteps, answers }];

    const wait = findStepWait({ repeatedSteps: [{ ...repeated, state: 'repeating' }], nodes }, [abort]);

    expect(answers.map(({ message, input }) => [message, input])).toEqual([
      ['retry', { node: 'a' }],
      ['rollback', { node: 'a' }],
    ]);
    expect(wait).toMatchObject({ kind: 'decision', key: 'a: drain', answers: [...answers, abort] });
    expect(nodeStepAnswers({ ...progress, isRestoring: true }, { phase: 'migrate' })).toHaveLength(1);
    expect(openAnswers({ nodes })).toEqual(answers);
  });
});
