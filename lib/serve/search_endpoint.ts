import { createHash } from "node:crypto";
import { z } from "zod";
import { oneOf, positiveInteger, text, wholeNumber } from "../arguments";
import type { Entry } from "../search/vector_store";
import type { Batcher } from "./batcher";
import type { ServiceContext } from "./context";
import { HttpError } from "./http_error";
import { imageBytes } from "./image_value";
import { checkFields, readFields } from "./request_fields";
import type { Call, Route } from "./route";
import type { ServedIndex } from "./served_index";
import { servedModel } from "./served_model";

const MOST_MATCHES = 1000;
const DEFAULT_MATCHES = 10;
const DEFAULT_SIZE = 320;
const SIZES = ["160", "320", "640", "1280"] as const;

/** What a search compares with: a caption, an image, or the entry of an id. */
const searchBody = z.strictObject({
  model: text.optional(),
  text: text.optional(),
  image: text.optional(),
  id: wholeNumber.optional(),
  count: positiveInteger.max(MOST_MATCHES, { error: `at most ${MOST_MATCHES}` }).optional(),
  where: text.optional(),
});
type SearchBody = z.output<typeof searchBody>;

const imageQuery = z.strictObject({ size: oneOf(...SIZES).optional() });

function servedIndex({ index }: ServiceContext): ServedIndex {
  if (index) return index;
  const message = "this service has no index: make one with `eva-clip index DIR` and serve it with --index";
  throw new HttpError(404, message, { code: "no_index" });
}

function noEntry(id: string | number): HttpError {
  return new HttpError(404, `the index has no entry ${id}`, { code: "entry_not_found", param: "id" });
}

async function entryOf({ store }: ServedIndex, id: string): Promise<Entry> {
  const entry = /^\d{1,15}$/.test(id) ? await store.entry(Number(id)) : undefined;
  if (!entry) throw noEntry(id);
  return entry;
}

/** An entry as it is answered: what it is, and where its picture is. */
function answerOf({ id, source, caption, metadata }: Entry) {
  return { object: "entry", id, source, caption: caption ?? null, metadata, image: `/v1/index/${id}/image` };
}

/** The model that embeds queries. @throws HttpError 400 where it cannot be the model of the index */
function queryModel(context: ServiceContext, { store }: ServedIndex, name: string | undefined): Batcher {
  const fits = ({ model }: Batcher) => model.embedDim === store.dimensions;
  const only = [...context.models].filter(([, batcher]) => fits(batcher));
  const served = servedModel(context, name ?? only[0]?.[0]);
  if (fits(served.batcher)) return served.batcher;
  const { embedDim } = served.batcher.model;
  const message = `the index holds vectors of ${store.dimensions} numbers, of ${store.model}; ${served.name} makes ${embedDim}`;
  throw new HttpError(400, message, { code: "wrong_model", param: "model" });
}

async function queryVector(body: SearchBody, index: ServedIndex, call: Call, context: ServiceContext) {
  const { signal } = call;
  if (body.id !== undefined) {
    const vector = await index.store.vector(body.id);
    if (!vector) throw noEntry(body.id);
    return vector;
  }
  const batcher = queryModel(context, index, body.model);
  if (body.text !== undefined) return batcher.encodeText(body.text, { signal });
  return batcher.encodeImage(await imageBytes(body.image!, "image", call, context), { signal });
}

async function search(call: Call, context: ServiceContext): Promise<Response> {
  const index = servedIndex(context);
  const body = await readFields(call, context, searchBody);
  const given = (["text", "image", "id"] as const).filter((field) => body[field] !== undefined);
  if (given.length !== 1) {
    const found = given.length === 0 ? "none of them" : given.join(" and ");
    throw new HttpError(400, `give one of text, image and id, found ${found}`, { code: "invalid_request" });
  }
  const { id, where, count = DEFAULT_MATCHES } = body;
  const vector = await queryVector(body, index, call, context);
  // An entry is the nearest to itself, which is no answer.
  const asked = id === undefined ? count : count + 1;
  const options = { count: asked, signal: call.signal, ...(where !== undefined && { where }) };
  const [matches] = await index.store.nearest([vector], options);
  const others = matches!.filter((match) => match.id !== id).slice(0, count);
  const data = others.map((match) => ({ ...answerOf(match), object: "match", similarity: match.similarity }));
  return Response.json({ object: "list", data, model: index.store.model });
}

async function describeIndex(_call: Call, context: ServiceContext): Promise<Response> {
  const { size, dimensions, model } = servedIndex(context).store;
  return Response.json({ object: "index", size, dimensions, model });
}

async function describeEntry({ params }: Call, context: ServiceContext): Promise<Response> {
  return Response.json(answerOf(await entryOf(servedIndex(context), params.id!)));
}

/** A small copy of the image of an entry. The file may have changed since it was indexed, so a browser asks again. */
async function entryImage({ params, url, request }: Call, context: ServiceContext): Promise<Response> {
  const index = servedIndex(context);
  const { size = DEFAULT_SIZE } = checkFields(Object.fromEntries(url.searchParams), imageQuery);
  const { id, source } = await entryOf(index, params.id!);
  let body: Uint8Array<ArrayBuffer>;
  try {
    body = await index.thumbnails.get(source, Number(size), () => index.images.read(source));
  } catch (cause) {
    // The reason would tell paths of this machine.
    const message = `the image of entry ${id} cannot be read`;
    throw new HttpError(404, message, { code: "image_unavailable", cause });
  }
  const etag = `"${createHash("sha256").update(body).digest("base64url").slice(0, 22)}"`;
  const headers = {
    "content-type": "image/webp",
    "cache-control": "private, no-cache",
    "content-security-policy": "default-src 'none'",
    "x-content-type-options": "nosniff",
    etag,
  };
  if (request.headers.get("if-none-match") === etag) return new Response(null, { status: 304, headers });
  return new Response(body, { headers });
}

export const searchRoutes: readonly Route[] = [
  { method: "POST", path: "/v1/search", handle: search },
  { method: "GET", path: "/v1/index", handle: describeIndex },
  { method: "GET", path: "/v1/index/:id", handle: describeEntry },
  { method: "GET", path: "/v1/index/:id/image", handle: entryImage },
];
