import { randomUUID } from "node:crypto";
import { type FastifyReply, type FastifyRequest, type FastifyServerOptions, LogController } from "fastify";
import type { ServeOptions } from "./serve_options";

/** Longest path that is logged. */
const MOST_LETTERS = 200;

/** One line per request, with sizes and times, but nothing of its content: not even the query. */
class RequestLog extends LogController {
  override incomingRequest(): void {}

  override requestCompleted(
    error: Error | null | undefined,
    request: FastifyRequest,
    reply: FastifyReply,
  ): void {
    const line = {
      method: request.method,
      path: request.url.split("?", 1)[0]!.slice(0, MOST_LETTERS),
      status: reply.statusCode,
      ms: Math.round(reply.elapsedTime * 10) / 10,
      bytesIn: Number(request.headers["content-length"] ?? 0),
      bytesOut: Number(reply.getHeader("content-length") ?? 0),
    };
    if (error) request.log.warn({ ...line, error: error.message }, "request failed");
    else request.log.info(line, "request");
  }
}

/** Fastify's options for the log. */
export function requestLog({
  logLevel = "silent",
  logStream = process.stderr,
}: ServeOptions): FastifyServerOptions {
  return {
    logger:
      logLevel === "silent" ? false : { level: logLevel, stream: logStream as { write(line: string): void } },
    logController: new RequestLog({ requestIdLogLabel: "id" }),
    genReqId: () => randomUUID(),
  };
}
