import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { Resource } from '@opentelemetry/resources';
import { BasicTracerProvider, BatchSpanProcessor } from '@opentelemetry/sdk-trace-base';
import { OpenTelemetryPlugin } from '@temporalio/interceptors-opentelemetry';
import { Runtime } from '@temporalio/worker';
import type { WorkerConfig } from './config.ts';
import { createLogger } from './logging.ts';

/** Installs logs and metrics of this process. Call it once, before any use of the SDK. */
export function installTelemetry({ log, metrics }: Pick<WorkerConfig, 'log' | 'metrics'>): void {
  const host = metrics?.host.includes(':') === true ? `[${metrics.host}]` : metrics?.host;
  Runtime.install({
    logger: createLogger(log),
    telemetryOptions: {
      // Log entries of the SDK's core go through the same logger.
      logging: { filter: { core: 'WARN', other: 'ERROR' }, forward: {} },
      ...(metrics && {
        metrics: {
          prometheus: {
            bindAddress: `${host}:${metrics.port}`,
            countersTotalSuffix: true,
            unitSuffix: true,
            useSecondsForDurations: true,
          },
        },
      }),
    },
  });
}

/** Traces of workflows and activities. */
export interface Tracing {
  plugin: OpenTelemetryPlugin;
  /** Sends the remaining traces. */
  stop: () => Promise<void>;
}

/**
 * Creates tracing to the target in the environment: OTEL_EXPORTER_OTLP_ENDPOINT, _HEADERS and the other variables that
 * OpenTelemetry documents for exporters.
 */
export function createTracing(): Tracing {
  const resource = Resource.default().merge(new Resource({ 'service.name': 'cni-live-migration' }));
  const spanProcessor = new BatchSpanProcessor(new OTLPTraceExporter());
  const provider = new BasicTracerProvider({ resource, spanProcessors: [spanProcessor] });
  // Also registers the context propagation from workflows to their activities.
  provider.register();
  const tracer = provider.getTracer('cni-live-migration');
  return {
    plugin: new OpenTelemetryPlugin({ resource, spanProcessor, tracer }),
    stop: () => provider.shutdown(),
  };
}
