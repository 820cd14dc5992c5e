import { performance } from "node:perf_hooks";
import { z } from "zod";
import { abortable, onAbort } from "../abortable";
import { checkArgument } from "../arguments";
import { Calls } from "../clip/calls";
import type { EvaClip } from "../clip/eva_clip";
import { parseAllowedHosts } from "./allowed_hosts";
import { keyCheck } from "./request/api_key";
import { Batcher } from "./batcher";
import type { ServiceContext } from "./context";
import { corsOf } from "./request/cors";
import { httpErrorOf } from "./error_answer";
import { type HandlerOptions, namedModels, readOptions } from "./handler_options";
import { HttpError } from "./http_error";
import { LabelEmbeddings } from "./endpoints/label_embeddings";
import { Metrics } from "./metrics";
import { PendingBytes } from "./request/pending_bytes";
import { Readiness } from "./readiness";
import { type FoundRoute, routeFinder } from "./route";
import { routesOf } from "./routes";
import { ServedIndex } from "./served_index";

/** Answers HTTP requests with models. */
export interface RequestHandler extends AsyncDisposable {
  /** Never rejects for a Request: errors are answers. */
  (request: Request): Promise<Response>;
  /** Answers `/readyz` with status 503 from here on, so that no further requests are sent here. */
  drain(): void;
  /** Answers further requests with status 503 and waits for those under way. The models stay open. Idempotent. */
  dispose(): Promise<void>;
}

/** Duck-typed, so that the requests of another realm or of a framework are accepted. */
const standardRequest = z.custom<Request>(
  (value) =>
    typeof (value as Request | null)?.url === "string" &&
    typeof (value as Request).method === "string" &&
    typeof (value as Request).headers?.get === "function",
  { error: "a Request" },
);

/** Routes that no request has, for metrics. */
const NO_ROUTE = "none";

/** @throws HttpError 404 or 405 */
function requireRoute(found: FoundRoute, path: string) {
  if (found.route) return found;
  const { allowed } = found;
  if (allowed.length === 0) throw new HttpError(404, `there is no ${path}`, { code: "not_found" });
  const allow = allowed.join(", ");
  throw new HttpError(405, `${path} takes ${allow}`, { code: "method_not_allowed", headers: { allow } });
}

function late(isArriving: boolean, timeoutMs: number): HttpError {
  return isArriving
    ? new HttpError(408, `the body did not arrive within ${timeoutMs} ms`, { code: "timeout" })
    : new HttpError(504, `the request was not answered within ${timeoutMs} ms`, { code: "timeout" });
}

function contextOf(
  models: ReadonlyMap<string, EvaClip>,
  options: ReturnType<typeof readOptions>,
): ServiceContext {
  const { limits, maxBatch, maxQueue, maxDelayMs, logger } = options;
  const batchers = new Map<string, Batcher>();
  const metrics = new Metrics(batchers);
  for (const [name, model] of models) {
    const batching = { maxBatch, maxQueue, ...(maxDelayMs !== undefined && { maxDelayMs }) };
    batchers.set(name, new Batcher(model, { ...batching, onBatch: (batch) => metrics.batch(name, batch) }));
  }
  return {
    ...{ models: batchers, limits, maxBatch, maxQueue, metrics, logger },
    allowImageHosts: parseAllowedHosts(
      "createHandler: options.allowImageHosts",
      options.allowImageHosts ?? [],
    ),
    index: options.index && new ServedIndex(options.index, limits.maxPixels),
    labels: new LabelEmbeddings(),
    readiness: new Readiness(batchers, options.readiness),
  };
}

/**
 * A function from standard requests to responses, which any server of Node can call. It embeds and classifies over HTTP in
 * the shapes that clients of other services send; concurrent requests share batches.
 * @param models one model, or several by the names that requests give
 * @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT`
 */
export function createHandler(
  models: EvaClip | Readonly<Record<string, EvaClip>>,
  given: HandlerOptions = {},
): RequestHandler {
  const options = readOptions(given);
  const context = contextOf(namedModels(models), options);
  const { limits, metrics, readiness, logger } = context;
  const find = routeFinder(routesOf(options));
  const checkKey = keyCheck(options.keys);
  const cors = corsOf(options.cors ?? false);
  const pending = new PendingBytes(limits.maxPendingBytes);
  const calls = new Calls("the handler");
  const { basePath = "" } = options;

  /** The answer to a request within its time, and the route that it took. */
  async function answer(request: Request, taken: { route: string }): Promise<Response> {
    const url = new URL(request.url);
    const { pathname } = url;
    const isBelow = pathname === basePath || pathname.startsWith(`${basePath}/`);
    const path = isBelow ? pathname.slice(basePath.length) || "/" : pathname;
    const { route, params } = requireRoute(find(request.method, path), path);
    taken.route = route.path;
    if (!route.isPublic) checkKey(request);
    const given = new AbortController();
    const { signal } = given;
    const removeListener = onAbort(request.signal, () => given.abort(request.signal.reason));
    if (request.signal?.aborted) given.abort(request.signal.reason);
    const arrival = { isUnderWay: false };
    const timer = setTimeout(() => given.abort(late(arrival.isUnderWay, limits.timeoutMs)), limits.timeoutMs);
    const held = pending.share();
    try {
      const call = { request, url, params, signal, hold: held.add, arrival };
      return await abortable(
        calls.run(async () => route.handle(call, context)),
        signal,
      );
    } catch (error) {
      // The rest of a request that has failed is not computed.
      given.abort(error);
      throw error;
    } finally {
      clearTimeout(timer);
      removeListener();
      held.release();
    }
  }

  function errorAnswer(error: unknown, request: Request, route: string): Response {
    const known = request.signal?.aborted ? new HttpError(499, "the client is gone") : httpErrorOf(error);
    if (known.status >= 500 && known.cause !== undefined) {
      const { stack = String(error) } = error as Error;
      logger?.warn?.(`${request.method} ${route} failed with status ${known.status}: ${stack}`);
    }
    if (known.code !== undefined) metrics.rejected(known.code);
    return known.toResponse();
  }

  async function handle(request: Request): Promise<Response> {
    checkArgument("handler: request", request, standardRequest);
    const begin = performance.now();
    const taken = { route: NO_ROUTE };
    const response =
      cors.preflight(request) ??
      (await answer(request, taken).catch((error) => errorAnswer(error, request, taken.route)));
    for (const [name, value] of Object.entries(cors.headersFor(request))) response.headers.set(name, value);
    metrics.request(taken.route, request.method, response.status, (performance.now() - begin) / 1e3);
    if (request.method !== "HEAD") return response;
    return new Response(null, { status: response.status, headers: response.headers });
  }

  let disposed: Promise<void> | undefined;
  const release = async () => {
    readiness.drain();
    await calls.close();
    await Promise.all([...context.models.values()].map((batcher) => batcher.dispose()));
  };
  const dispose = () => {
    disposed ??= release();
    return disposed;
  };
  return Object.assign(handle, {
    drain: () => readiness.drain(),
    dispose,
    [Symbol.asyncDispose]: dispose,
  });
}
