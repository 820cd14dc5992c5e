import { setTimeout as timer } from "node:timers";
import { EvaClip } from "../clip/eva_clip";
import type { Logger } from "../logger";
import { Batcher, type BatchOptions } from "./batcher";
import type { Limits, ServiceContext } from "./context";
import { embeddingsRoutes } from "./embeddings_endpoint";
import { httpErrorOf } from "./error_answer";
import { HttpError } from "./http_error";
import { type Call, type Route, routeFinder } from "./route";

export interface HandlerOptions extends BatchOptions {
  /** What one request may ask for. */
  readonly limits?: Partial<Limits>;
  /** Hosts of which https images are fetched. Default none. */
  readonly allowImageHosts?: readonly string[];
  readonly logger?: Logger;
}

/** Answers HTTP requests with models. */
export interface RequestHandler {
  (request: Request): Promise<Response>;
  /** Answers further requests with status 503 and waits for those under way. The models stay open. */
  dispose(): Promise<void>;
}

const DEFAULT_LIMITS: Limits = {
  maxBodyBytes: 32 * 2 ** 20,
  maxPixels: 50_000_000,
  maxImages: 32,
  maxTexts: 2048,
  timeoutMs: 30_000,
};

const healthRoute: Route = {
  method: "GET",
  path: "/healthz",
  isPublic: true,
  handle: () => Response.json({ status: "ok" }),
};

const ROUTES: readonly Route[] = [healthRoute, ...embeddingsRoutes];

function notFound(path: string, allowed: readonly string[]): HttpError {
  if (allowed.length === 0) return new HttpError(404, `there is no ${path}`, { code: "not_found" });
  const allow = allowed.join(", ");
  return new HttpError(405, `${path} takes ${allow}`, { code: "method_not_allowed", headers: { allow } });
}

/** A handler of requests: takes a standard Request, resolves to a Response, never rejects. */
export function createHandler(
  models: EvaClip | Readonly<Record<string, EvaClip>>,
  { limits, allowImageHosts = [], logger, ...batching }: HandlerOptions = {},
): RequestHandler {
  const named = models instanceof EvaClip ? { default: models } : models;
  const context: ServiceContext = {
    models: new Map(Object.entries(named).map(([name, model]) => [name, new Batcher(model, batching)])),
    limits: { ...DEFAULT_LIMITS, ...limits },
    allowImageHosts,
    logger,
  };
  const find = routeFinder(ROUTES);

  async function answer(request: Request, signal: AbortSignal): Promise<Response> {
    const url = new URL(request.url);
    const found = find(request.method, url.pathname);
    if (!found.route) throw notFound(url.pathname, found.allowed);
    const call: Call = { request, url, params: found.params, signal };
    return await found.route.handle(call, context);
  }

  async function handle(request: Request): Promise<Response> {
    const controller = new AbortController();
    const giveUp = () => controller.abort(request.signal.reason);
    request.signal.addEventListener("abort", giveUp, { once: true });
    const { timeoutMs } = context.limits;
    const timeout = timer(
      () => controller.abort(new HttpError(504, `not answered within ${timeoutMs} ms`)),
      timeoutMs,
    );
    try {
      return await answer(request, controller.signal);
    } catch (error) {
      return httpErrorOf(error).toResponse();
    } finally {
      clearTimeout(timeout);
      request.signal.removeEventListener("abort", giveUp);
    }
  }

  const dispose = async () => {
    await Promise.all([...context.models.values()].map((batcher) => batcher.dispose()));
  };
  return Object.assign(handle, { dispose });
}
