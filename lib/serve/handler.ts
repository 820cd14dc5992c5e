import { performance } from "node:perf_hooks";
import { setTimeout as timer } from "node:timers";
import { EvaClip } from "../clip/eva_clip";
import type { Logger } from "../logger";
import { Batcher, type BatchOptions } from "./batcher";
import type { Limits, ServiceContext } from "./context";
import { embeddingsRoutes } from "./embeddings_endpoint";
import { httpErrorOf } from "./error_answer";
import { HttpError } from "./http_error";
import { Metrics } from "./metrics";
import { probeRoutes } from "./probe_endpoints";
import { Readiness, type ReadinessOptions } from "./readiness";
import { type Call, type Route, routeFinder } from "./route";

export interface HandlerOptions extends BatchOptions {
  /** What one request may ask for. */
  readonly limits?: Partial<Limits>;
  /** Hosts of which https images are fetched. Default none. */
  readonly allowImageHosts?: readonly string[];
  readonly logger?: Logger;
  /** Of /readyz. */
  readonly readiness?: ReadinessOptions;
}

/** Answers HTTP requests with models. */
export interface RequestHandler {
  (request: Request): Promise<Response>;
  /** Answers /readyz with status 503 from here on, so that no further requests are sent here, and everything else as before. */
  drain(): void;
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

const ROUTES: readonly Route[] = [...probeRoutes, ...embeddingsRoutes];

function notFound(path: string, allowed: readonly string[]): HttpError {
  if (allowed.length === 0) return new HttpError(404, `there is no ${path}`, { code: "not_found" });
  const allow = allowed.join(", ");
  return new HttpError(405, `${path} takes ${allow}`, { code: "method_not_allowed", headers: { allow } });
}

/** A handler of requests: takes a standard Request, resolves to a Response, never rejects. */
export function createHandler(
  models: EvaClip | Readonly<Record<string, EvaClip>>,
  { limits, allowImageHosts = [], logger, readiness, ...batching }: HandlerOptions = {},
): RequestHandler {
  const named = models instanceof EvaClip ? { default: models } : models;
  const served = new Map<string, Batcher>();
  const metrics = new Metrics(served);
  for (const [name, model] of Object.entries(named)) {
    served.set(name, new Batcher(model, { ...batching, onBatch: (batch) => metrics.batch(name, batch) }));
  }
  const context: ServiceContext = {
    models: served,
    limits: { ...DEFAULT_LIMITS, ...limits },
    allowImageHosts,
    logger,
    metrics,
    readiness: new Readiness(served, readiness),
  };
  const find = routeFinder(ROUTES);

  async function answer(
    request: Request,
    signal: AbortSignal,
    found: ReturnType<typeof find>,
  ): Promise<Response> {
    const url = new URL(request.url);
    if (!found.route) throw notFound(url.pathname, found.allowed);
    const call: Call = { request, url, params: found.params, signal };
    return await found.route.handle(call, context);
  }

  async function handle(request: Request): Promise<Response> {
    const begin = performance.now();
    const found = find(request.method, new URL(request.url).pathname);
    const controller = new AbortController();
    const giveUp = () => controller.abort(request.signal.reason);
    request.signal.addEventListener("abort", giveUp, { once: true });
    const { timeoutMs } = context.limits;
    const timeout = timer(
      () => controller.abort(new HttpError(504, `not answered within ${timeoutMs} ms`)),
      timeoutMs,
    );
    const measured = (response: Response) => {
      const seconds = (performance.now() - begin) / 1e3;
      metrics.request(found.route?.path ?? "unknown", request.method, response.status, seconds);
      return response;
    };
    try {
      return measured(await answer(request, controller.signal, found));
    } catch (error) {
      const failure = httpErrorOf(error);
      metrics.rejected(failure.code ?? failure.type);
      return measured(failure.toResponse());
    } finally {
      clearTimeout(timeout);
      request.signal.removeEventListener("abort", giveUp);
    }
  }

  const dispose = async () => {
    await Promise.all([...context.models.values()].map((batcher) => batcher.dispose()));
  };
  return Object.assign(handle, { drain: () => context.readiness.drain(), dispose });
}
