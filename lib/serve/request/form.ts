import { once } from "node:events";
import { setImmediate } from "node:timers/promises";
import { Busboy, type BusboyInstance } from "@fastify/busboy";
import { abortable } from "../../abortable";
import { bodyChunks } from "./body";
import type { ServiceContext } from "../context";
import { HttpError } from "../http_error";
import { joined } from "../joined";
import type { Call } from "../route";

/** A field of a form, or a parameter of the query; a file is its bytes. */
export type FormEntry = readonly [name: string, value: string | Uint8Array];

/** Bytes parsed before the event loop may turn. */
const BYTES_PER_TURN = 2 ** 20;

function invalidForm(cause: unknown): HttpError {
  const message = `the body is not multipart/form-data: ${(cause as Error).message}`;
  return new HttpError(400, message, { code: "invalid_form", cause });
}

/** Fields are as large as the body may be; the parser itself would cut them. */
function parserFor(contentType: string, { limits: { maxBodyBytes } }: ServiceContext): BusboyInstance {
  try {
    const limits = { fieldSize: maxBodyBytes, fileSize: maxBodyBytes };
    return new Busboy({ headers: { "content-type": contentType }, limits });
  } catch (cause) {
    throw invalidForm(cause);
  }
}

/** The entries of multipart/form-data in their order. @throws HttpError 400, and as `bodyChunks` */
export async function readForm(
  call: Call,
  context: ServiceContext,
  contentType: string,
): Promise<FormEntry[]> {
  const parser = parserFor(contentType, context);
  /** A file is its chunks. */
  const entries: [name: string, value: string | Buffer[]][] = [];
  const failed = new AbortController();
  const fail = (cause: Error) => failed.abort(invalidForm(cause));
  parser.on("error", fail);
  parser.on("field", (name, value) => entries.push([name, value]));
  parser.on("file", (name, file) => {
    const chunks: Buffer[] = [];
    entries.push([name, chunks]);
    file.on("data", (chunk: Buffer) => chunks.push(chunk));
    file.on("error", fail);
  });
  const finished = once(parser, "finish", { signal: failed.signal });
  finished.catch(() => undefined);
  let sinceTurn = 0;
  for await (const chunk of bodyChunks(call, context)) {
    for (let begin = 0; begin < chunk.byteLength; begin += BYTES_PER_TURN) {
      const part = chunk.subarray(begin, begin + BYTES_PER_TURN);
      parser.write(part);
      sinceTurn += part.byteLength;
      if (sinceTurn >= BYTES_PER_TURN) {
        sinceTurn = 0;
        await setImmediate();
      }
      failed.signal.throwIfAborted();
    }
  }
  parser.end();
  try {
    await abortable(finished, call.signal);
  } catch (error) {
    failed.signal.throwIfAborted();
    throw error;
  }
  return Promise.all(
    entries.map(async ([name, value]): Promise<FormEntry> => {
      return [name, typeof value === "string" ? value : await joined(value)];
    }),
  );
}
