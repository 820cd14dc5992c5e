import type { IncomingMessage, ServerResponse } from "node:http";
import { pipeline } from "node:stream/promises";
import { anyFunction, checkArgument } from "../../arguments";
import { httpErrorOf } from "../error_answer";
import { discardRest, webRequest } from "./web_request";

/** A listener of `node:http`, and a handler of Express and other frameworks on it. */
export type NodeHandler = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

/**
 * A handler of standard requests, such as `createHandler` returns, as one of Node's. Mount it before whatever reads bodies.
 * It never rejects; a client that goes away aborts its request.
 */
export function toNodeHandler(handler: (request: Request) => Promise<Response>): NodeHandler {
  checkArgument("toNodeHandler: handler", handler, anyFunction);
  return async (message, response) => {
    let answer: Response;
    try {
      answer = await handler(webRequest(message, response));
    } catch (error) {
      answer = httpErrorOf(error).toResponse();
    }
    // A client that still sends would be told of a broken connection in place of its answer.
    if (!(await discardRest(message))) answer.headers.set("connection", "close");
    response.statusCode = answer.status;
    for (const [name, value] of answer.headers) response.appendHeader(name, value);
    if (answer.body === null) response.end();
    // Fails only if the client is gone.
    else await pipeline(answer.body, response).catch(() => undefined);
  };
}
