import { abortable } from "../../abortable";
import { inTurn } from "../../image/turns";
import type { ServiceContext } from "../context";
import { HttpError } from "../http_error";
import { joined } from "../joined";
import type { Call } from "../route";

function tooLarge(maxBodyBytes: number): HttpError {
  return new HttpError(413, `the body is larger than the limit of ${maxBodyBytes} bytes`, {
    code: "body_too_large",
  });
}

/**
 * The chunks of a request's body. Reading stops at the limit, whatever length the request states.
 * @throws HttpError 413 for a larger body, 415 for a compressed one; the signal's reason
 */
export async function* bodyChunks({ request, signal, hold, arrival }: Call, { limits }: ServiceContext) {
  const encoding = request.headers.get("content-encoding") ?? "identity";
  if (encoding !== "identity") {
    throw new HttpError(415, `a body of content-encoding ${encoding} is not read: send it uncompressed`, {
      code: "unsupported_encoding",
      headers: { "accept-encoding": "identity" },
    });
  }
  if (Number(request.headers.get("content-length") ?? 0) > limits.maxBodyBytes)
    throw tooLarge(limits.maxBodyBytes);
  if (request.bodyUsed) throw new Error("the body was read before the handler: mount it before body parsers");
  if (!request.body) return;
  const reader = request.body.getReader();
  let bytes = 0;
  arrival.isUnderWay = true;
  try {
    for (;;) {
      // Chunks that have all arrived would otherwise be read in one turn.
      const { done, value } = await inTurn(() => abortable(reader.read(), signal));
      if (done) return;
      bytes += value.byteLength;
      if (bytes > limits.maxBodyBytes) throw tooLarge(limits.maxBodyBytes);
      hold(value.byteLength);
      yield value;
    }
  } finally {
    arrival.isUnderWay = false;
    // Also when the consumer stops early; of no effect at the end.
    reader.cancel().catch(() => undefined);
  }
}

/** The whole body. @throws as `bodyChunks` */
export async function readBody(call: Call, context: ServiceContext): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of bodyChunks(call, context)) chunks.push(chunk);
  return joined(chunks);
}
