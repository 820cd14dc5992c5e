import { classifyRoutes } from "./classify_endpoint";
import { embeddingsRoutes } from "./embeddings_endpoint";
import { healthRoutes } from "./health_endpoints";
import { modelsRoutes } from "./models_endpoint";
import type { Route } from "./route";
import { searchRoutes } from "./search_endpoint";

/** Every endpoint of a handler. */
export const ROUTES: readonly Route[] = [
  ...embeddingsRoutes,
  ...classifyRoutes,
  ...searchRoutes,
  ...modelsRoutes,
  ...healthRoutes,
];
