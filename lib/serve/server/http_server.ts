import type { Socket } from "node:net";
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import { HttpError } from "../http_error";
import { requestLog } from "./request_log";
import { hostCheck } from "./requested_host";
import { DEFAULT_HOST, type ServeOptions } from "./serve_options";
import { discardRest, webRequest } from "./web_request";

/** A function from requests to responses, such as `createHandler` returns. */
export interface ServedHandler {
  (request: Request): Promise<Response>;
  /** Called first of all when the server is closed. */
  drain?(): void;
}

/** How often slow requests are looked for. */
const CHECK_MS = 1000;

/** A fastify server that leaves bodies, routes and errors to the handler. */
export function createApp(handler: ServedHandler, options: ServeOptions): FastifyInstance {
  const { headersTimeoutMs = 10_000, bodyTimeoutMs = 60_000, keepAliveMs = 75_000 } = options;
  const app = fastify({
    ...requestLog(options),
    http: {
      headersTimeout: Math.min(headersTimeoutMs, bodyTimeoutMs),
      connectionsCheckingInterval: CHECK_MS,
    },
    requestTimeout: bodyTimeoutMs,
    keepAliveTimeout: keepAliveMs,
    connectionTimeout: options.idleTimeoutMs ?? 120_000,
    // Requests on connections that are open when the server closes are still answered.
    return503OnClosing: false,
    routerOptions: { ignoreTrailingSlash: false },
    frameworkErrors: (error, _, reply) => void answer(reply, new HttpError(400, error.message).toResponse()),
    clientErrorHandler,
  }) as unknown as FastifyInstance;
  app.server.maxConnections = options.maxConnections ?? 1024;
  // The handler reads the body itself, so that it can stop at its limits.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", (_request, _body, done) => done(null));
  const checkHost = hostCheck(options.host ?? DEFAULT_HOST, options.allowHosts);
  const handle = async ({ raw }: FastifyRequest, reply: FastifyReply) => {
    const request = webRequest(raw, reply.raw);
    checkHost(request.url);
    return answer(reply, await handler(request));
  };
  app.setErrorHandler((error, _, reply) => {
    const { statusCode = 500 } = error as { statusCode?: number };
    const known = error instanceof HttpError ? error : undefined;
    if (known === undefined && statusCode >= 500) app.log.error(error);
    const told = statusCode < 500 ? (error as Error).message : "internal error";
    return answer(reply, (known ?? new HttpError(statusCode, told)).toResponse());
  });
  app.setNotFoundHandler(handle);
  return app;
}

/** Sends a response, as one piece if it does not state its length, so that the log can. */
async function answer(reply: FastifyReply, response: Response): Promise<FastifyReply> {
  const isStreamed = response.body === null || response.headers.has("content-length");
  const body = isStreamed ? response.body : Buffer.from(await response.arrayBuffer());
  const isWhole = await discardRest(reply.request.raw);
  // A server that closes would otherwise wait for the connection to be idle for long enough.
  if (!isWhole || !reply.server.server.listening) reply.header("connection", "close");
  for (const [name, value] of response.headers) reply.header(name, value);
  return reply
    .code(response.status)
    .header("x-request-id", reply.request.id)
    .send(body ?? undefined);
}

/** Errors of connections whose request cannot be read; most clients that cause them are gone. */
function clientErrorHandler(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === "ECONNRESET" || !socket.writable) return void socket.destroy();
  const [status, text, message] =
    error.code === "ERR_HTTP_REQUEST_TIMEOUT"
      ? [408, "Request Timeout", "the request did not arrive in time"]
      : error.code === "HPE_HEADER_OVERFLOW"
        ? [431, "Request Header Fields Too Large", "the headers are too large"]
        : [400, "Bad Request", "the request is not HTTP"];
  const body = JSON.stringify({ error: { message, type: "invalid_request_error", param: null, code: null } });
  socket.end(
    `HTTP/1.1 ${status} ${text}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
  );
}
