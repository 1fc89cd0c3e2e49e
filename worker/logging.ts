import { DefaultLogger, type LogEntry } from '@temporalio/worker';
import { escapeJson, oneLine } from '../model/printable.ts';

/**
 * Creates a logger for the worker and for the code of workflows and activities: one line of JSON per entry, or text.
 */
export function createLogger(format: 'json' | 'text', write: (line: string) => void = toStandardError): DefaultLogger {
  const formatLine = format === 'text' ? textLine : jsonLine;
  return new DefaultLogger('INFO', (entry) => write(formatLine(entry)));
}

function toStandardError(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** Formats a log entry as one line of JSON: time, level and message first, then its other attributes. */
export function jsonLine({ timestampNanos, level, message, meta = {} }: LogEntry): string {
  return formatJson({ time: formatTime(timestampNanos), level, message, ...meta });
}

/**
 * Formats a log entry as one line of text. The message and the attributes may contain what a user of the cluster wrote,
 * which must not pass for another entry.
 */
export function textLine({ timestampNanos, level, message, meta = {} }: LogEntry): string {
  const attributes = Object.keys(meta).length === 0 ? '' : ` ${formatJson(meta)}`;
  return `${formatTime(timestampNanos)} [${level}] ${oneLine(message)}${attributes}`;
}

function formatTime(nanoseconds: bigint): string {
  return new Date(Number(nanoseconds / 1_000_000n)).toISOString();
}

function formatJson(attributes: object): string {
  const json = JSON.stringify(attributes, (_key, value: unknown) => {
    if (value instanceof Error) return { name: value.name, message: value.message, stack: value.stack };
    return typeof value === 'bigint' ? String(value) : value;
  });
  return escapeJson(json);
}
