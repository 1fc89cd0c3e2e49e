import { DefaultLogger, type LogEntry } from '@temporalio/worker';

/**
 * Creates a logger for the worker and for the code of workflows and activities: one line of JSON per entry, or text.
 */
export function createLogger(format: 'json' | 'text', write: (line: string) => void = toStandardError): DefaultLogger {
  return format === 'text' ? new DefaultLogger('INFO') : new DefaultLogger('INFO', (entry) => write(jsonLine(entry)));
}

function toStandardError(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** Formats a log entry as one line of JSON: time, level and message first, then its other attributes. */
export function jsonLine({ timestampNanos, level, message, meta = {} }: LogEntry): string {
  const time = new Date(Number(timestampNanos / 1_000_000n)).toISOString();
  return JSON.stringify({ time, level, message, ...meta }, (_key, value: unknown) => {
    if (value instanceof Error) return { name: value.name, message: value.message, stack: value.stack };
    return typeof value === 'bigint' ? String(value) : value;
  });
}
