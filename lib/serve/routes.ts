import { classifyRoutes } from "./classify_endpoint";
import { embeddingsRoutes } from "./embeddings_endpoint";
import { healthRoutes } from "./health_endpoints";
import { modelsRoutes } from "./models_endpoint";
import { openapiRoute } from "./openapi";
import { pageRoutes } from "./page";
import type { Route } from "./route";
import { searchRoutes } from "./search_endpoint";

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
