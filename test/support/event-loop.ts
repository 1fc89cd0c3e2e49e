/** Interval in ms at which a thread is observed. */
const observationIntervalMs = 5;

/**
 * Observes how long the event loop of this thread is blocked: the processor time that the thread uses between two turns
 * of a timer. It does not depend on other processes, however busy the machine is.
 * @returns a function that ends the observation and returns the longest such time in ms.
 */
export function observeEventLoop(): () => number {
  const usedMs = (): number => {
    const { user, system } = process.threadCpuUsage();
    return (user + system) / 1_000;
  };
  let [longestMs, before] = [0, usedMs()];
  const observe = (): void => {
    const now = usedMs();
    longestMs = Math.max(longestMs, now - before);
    before = now;
  };
  const timer = setInterval(observe, observationIntervalMs);
  return () => {
    clearInterval(timer);
    observe();
    return longestMs;
  };
}
