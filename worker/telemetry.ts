import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { Resource } from '@opentelemetry/resources';
import { BasicTracerProvider, BatchSpanProcessor } from '@opentelemetry/sdk-trace-base';
import { OpenTelemetryPlugin } from '@temporalio/interceptors-opentelemetry';
import { Runtime } from '@temporalio/worker';
import type { WorkerConfig } from './config.ts';
import { createLogger } from './logging.ts';

/** Sets up logs and metrics of this process. To be called once, before anything of the SDK is used. */
export function installTelemetry({ log, metrics }: Pick<WorkerConfig, 'log' | 'metrics'>): void {
  const host = metrics?.host.includes(':') === true ? `[${metrics.host}]` : metrics?.host;
  Runtime.install({
    logger: createLogger(log),
    telemetryOptions: {
      // What the SDK's core says goes through the same logger.
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
  /** Sends what has not been sent. */
  stop: () => Promise<void>;
}

/**
 * Traces that go where the environment says: OTEL_EXPORTER_OTLP_ENDPOINT, _HEADERS and the other variables that
 * OpenTelemetry documents for exporters.
 */
export function createTracing(): Tracing {
  const resource = Resource.default().merge(new Resource({ 'service.name': 'cni-live-migration' }));
  const spanProcessor = new BatchSpanProcessor(new OTLPTraceExporter());
  const provider = new BasicTracerProvider({ resource, spanProcessors: [spanProcessor] });
  // Also what carries a trace from a workflow to its activities.
  provider.register();
  const tracer = provider.getTracer('cni-live-migration');
  return {
    plugin: new OpenTelemetryPlugin({ resource, spanProcessor, tracer }),
    stop: () => provider.shutdown(),
  };
}
