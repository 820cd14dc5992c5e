import type { IncomingMessage, ServerResponse } from "node:http";
import { finished } from "node:stream/promises";
import { HttpError } from "../http_error";

/** How long the rest of a body is read and discarded before it is answered early. */
const LINGER_MS = 2000;

/** The URL of a request; its host is what the client says, if that is one. */
function urlOf({ url = "/", headers }: IncomingMessage): URL {
  const path = url.startsWith("/") ? url : "/";
  const host = headers.host ?? "localhost";
  return URL.canParse(`http://${host}`)
    ? new URL(`http://${host}${path}`)
    : new URL(`http://localhost${path}`);
}

function headersOf({ headers }: IncomingMessage): [string, string][] {
  return Object.entries(headers).flatMap(([name, value = []]) =>
    [value].flat().map((one): [string, string] => [name, one]),
  );
}

/** Whether the request has a body. */
const hasBody = ({ headers, method }: IncomingMessage) =>
  method !== "GET" &&
  method !== "HEAD" &&
  (headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0);

/** Aborted when the client goes before it has its answer. */
function goneSignal(response: ServerResponse): AbortSignal {
  const controller = new AbortController();
  response.once("close", () => {
    if (!response.writableFinished) controller.abort(new HttpError(499, "the client is gone"));
  });
  return controller.signal;
}

/**
 * Node's request as a standard one. Its body is read as it is asked for.
 * @throws HttpError 400 or 405 for a request that has no standard form
 */
export function webRequest(message: IncomingMessage, response: ServerResponse): Request {
  const { method = "GET" } = message;
  if (method === "TRACE" || method === "CONNECT") throw new HttpError(405, `${method} is not answered`);
  const signal = goneSignal(response);
  // Ending the iterator must not destroy the connection, on which the answer is sent.
  const body = hasBody(message) ? ReadableStream.from(message.iterator({ destroyOnReturn: false })) : null;
  try {
    return new Request(urlOf(message), { method, headers: headersOf(message), body, signal, duplex: "half" });
  } catch (cause) {
    throw new HttpError(400, "the request is malformed", { cause });
  }
}

/**
 * Reads and discards what is left of a body, for a while: if the connection were closed before, the client would be told
 * of a broken connection in place of its answer.
 * @returns whether all of it has arrived
 */
export async function discardRest(message: IncomingMessage): Promise<boolean> {
  if (message.complete || message.readableEnded) return true;
  message.resume();
  const signal = AbortSignal.timeout(LINGER_MS);
  await finished(message, { signal, cleanup: true }).catch(() => undefined);
  return message.complete;
}
