import { classifyRoutes } from "./endpoints/classify_endpoint";
import { embeddingsRoutes } from "./endpoints/embeddings_endpoint";
import { healthRoutes } from "./endpoints/health_endpoints";
import { modelsRoutes } from "./endpoints/models_endpoint";
import { openapiRoute } from "./endpoints/openapi";
import { pageRoutes } from "./page/page";
import type { Route } from "./route";
import { searchRoutes } from "./endpoints/search_endpoint";

/** The endpoints of a handler. */
export function routesOf({ page = false }: { readonly page?: boolean | undefined }): readonly Route[] {
  const routes = [
    ...embeddingsRoutes,
    ...classifyRoutes,
    ...searchRoutes,
    ...modelsRoutes,
    ...healthRoutes,
    ...(page ? pageRoutes : []),
  ];
  return [...routes, openapiRoute(routes)];
}
