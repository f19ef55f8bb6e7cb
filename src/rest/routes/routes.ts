import type { Route } from '../route.ts';
import { backfillRoutes } from './backfill-routes.ts';
import { declarationRoutes } from './declaration-routes.ts';
import { deliveryRoutes } from './delivery-routes.ts';
import { jobRoutes } from './job-routes.ts';
import { runRoutes } from './run-routes.ts';
import { telemetryRoutes } from './telemetry-routes.ts';

/** Every route, in the order of the OpenAPI document and of the reference. */
export const routes: readonly Route[] = [
  ...telemetryRoutes,
  ...declarationRoutes,
  ...jobRoutes,
  ...runRoutes,
  ...deliveryRoutes,
  ...backfillRoutes,
];
