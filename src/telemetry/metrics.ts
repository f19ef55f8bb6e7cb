import { collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import packageJson from '../../package.json' with { type: 'json' };
import { addDeliveryMetrics, type DeliverySources } from './delivery-metrics.ts';
import { addDeployment, type DeploymentSources } from './deployment-metrics.ts';
import { addRequests, type RequestMetrics } from './request-metrics.ts';
import { addRuns, type RunMetrics } from './run-metrics.ts';
import { addServer, type ServerSources } from './server-metrics.ts';

export interface MetricsSources extends ServerSources, DeploymentSources, DeliverySources {
  readonly role: string;
}

export interface Metrics extends RequestMetrics, RunMetrics {
  readonly registry: Registry;
}

/** The metrics at /metrics. Created per app, so that two apps in one process (tests) do not share counters. */
export function createMetrics(sources: MetricsSources): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  // Gauges with the suffix of counters; nodejs_active_handles, _requests and _resources have the same figures by type.
  for (const kind of ['handles', 'requests', 'resources']) registry.removeSingleMetric(`nodejs_active_${kind}_total`);
  const registers = [registry];
  new Gauge({
    name: 'sluice_build_info',
    help: 'Always 1; its labels say what runs here.',
    labelNames: ['version', 'role', 'node'],
    registers,
  }).set({ version: packageJson.version, role: sources.role, node: process.version }, 1);
  addServer(registers, sources);
  addDeployment(registers, sources);
  addDeliveryMetrics(registers, sources);
  return { registry, ...addRequests(registers), ...addRuns(registers) };
}
