import { createHash } from "node:crypto";
import { z } from "zod";
import { oneOf, positiveInteger, text, wholeNumber } from "../../arguments";
import type { Entry } from "../../search/vector_store";
import { entryAnswer, indexAnswer, searchAnswer } from "./answer_schemas";
import type { Batcher } from "../batcher";
import type { ServiceContext } from "../context";
import type { FormEntry } from "../request/form";
import { HttpError } from "../http_error";
import { imageBytes } from "../request/image_value";
import { IMAGE_FIELDS, scalar } from "../request/inputs";
import { checkFields, readFields } from "../request/request_fields";
import { imageValue } from "../request/request_schemas";
import type { Call, Route } from "../route";
import type { ServedIndex } from "../served_index";
import { servedModel } from "../served_model";

const MOST_MATCHES = 1000;
const DEFAULT_MATCHES = 10;
const DEFAULT_SIZE = 320;
const SIZES = ["160", "320", "640", "1280"] as const;

/** What a search compares with: a caption, an image, or the entry of an id. */
const searchBody = z.strictObject({
  model: text.optional(),
  text: text.optional(),
  image: imageValue.optional(),
  id: wholeNumber.optional(),
  count: positiveInteger.max(MOST_MATCHES, { error: `at most ${MOST_MATCHES}` }).optional(),
  where: text.optional(),
});
type SearchBody = z.output<typeof searchBody>;

/** A file is the image, whatever its name. */
function searchFromForm(entries: readonly FormEntry[]): unknown {
  const field = ([name, value]: FormEntry) =>
    typeof value !== "string" || IMAGE_FIELDS.test(name) ? ["image", value] : scalar([name, value]);
  return Object.fromEntries(entries.map(field));
}

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

/** The model of the index as requests name it; the index may know it by a path of another machine. */
const nameOf = async (index: ServedIndex, { models }: ServiceContext) =>
  (await index.modelAmong(models)) ?? null;

/** The model that embeds queries. @throws HttpError 400 for one that did not embed the index, or where there is none */
async function queryModel(
  context: ServiceContext,
  index: ServedIndex,
  name: string | undefined,
): Promise<Batcher> {
  const given = name === undefined ? undefined : servedModel(context, name);
  const found = await index.modelAmong(given ? [[given.name, given.batcher]] : context.models);
  if (found !== undefined) return context.models.get(found)!;
  const which = given ? `the model ${given.name}` : "any model of this service";
  throw new HttpError(400, `the index was not embedded by ${which}`, { code: "wrong_model", param: "model" });
}

async function queryVector(body: SearchBody, index: ServedIndex, call: Call, context: ServiceContext) {
  const { signal } = call;
  if (body.id !== undefined) {
    const vector = await index.store.vector(body.id);
    if (!vector) throw noEntry(body.id);
    return vector;
  }
  const batcher = await queryModel(context, index, body.model);
  if (body.text !== undefined) return batcher.encodeText(body.text, { signal });
  return batcher.encodeOwnBytes(await imageBytes(body.image!, "image", call, context), { signal });
}

async function search(call: Call, context: ServiceContext): Promise<Response> {
  const index = servedIndex(context);
  const body = await readFields(call, context, searchBody, searchFromForm);
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
  return Response.json({ object: "list", data, model: await nameOf(index, context) });
}

async function describeIndex(_call: Call, context: ServiceContext): Promise<Response> {
  const index = servedIndex(context);
  const { size, dimensions } = index.store;
  return Response.json({ object: "index", size, dimensions, model: await nameOf(index, context) });
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
  {
    method: "POST",
    path: "/v1/search",
    summary: "The entries of the index nearest to a text, an image or another entry, best first",
    body: searchBody,
    forms: true,
    answer: searchAnswer,
    handle: search,
  },
  {
    method: "GET",
    path: "/v1/index",
    summary: "What the index is",
    answer: indexAnswer,
    handle: describeIndex,
  },
  {
    method: "GET",
    path: "/v1/index/:id",
    summary: "An entry of the index",
    answer: entryAnswer,
    handle: describeEntry,
  },
  {
    method: "GET",
    path: "/v1/index/:id/image",
    summary:
      "A small copy of the image of an entry, as WebP of at most `size` pixels a side: 160, 320, 640 or 1280",
    handle: entryImage,
  },
];
