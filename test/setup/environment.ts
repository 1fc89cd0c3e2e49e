import { TestEnvironment } from 'jest-environment-node';
import { describePressure, readPressure } from '../runner/pressure.ts';
import { timeFactorVariable } from '../support/time-limits.ts';

/** The part that is read here of what Jest reports about a failed test or hook. */
interface FailureEvent {
  name: string;
  error?: unknown;
  /** Its errors so far, each with the error that shows where the test is. Absent for hooks of all tests. */
  test?: { errors: unknown[] };
}

/** Adds to each failure what the machine was busy with, at the time of the failure. A test that passes costs nothing. */
export default class PressureEnvironment extends TestEnvironment {
  handleTestEvent(event: FailureEvent): void {
    if (event.name !== 'test_fn_failure' && event.name !== 'hook_failure') return;
    const facts = `${describePressure(readPressure())}; time factor ${process.env[timeFactorVariable]}`;
    const { error, test } = event;
    const last = test?.errors.at(-1);
    // The error comes from the test's own realm, so it is no instance of this one's Error.
    if (typeof error === 'object' && error !== null && 'stack' in error && typeof error.stack === 'string') {
      error.stack = beforeStack(error.stack, facts);
    } else if (typeof error === 'string' && Array.isArray(last) && last[0] === error) {
      // Jest reports an exceeded time limit as a string.
      last[0] = `${error}\n\n${facts}`;
    } else {
      process.stderr.write(`${facts}\n`);
    }
  }
}

/** Puts a line between the message of an error and its stack. */
function beforeStack(stack: string, line: string): string {
  const at = stack.search(/^\s+at /m);
  return at < 0 ? `${stack}\n\n${line}` : `${stack.slice(0, at)}\n${line}\n${stack.slice(at)}`;
}
