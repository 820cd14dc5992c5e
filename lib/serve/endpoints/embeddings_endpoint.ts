import { randomUUID } from "node:crypto";
import { cohereAnswer, embedAnswer, embeddingsAnswer } from "./answer_schemas";
import { type Embedded, embedInputs } from "./embed";
import { encoded, type Encoding } from "./encodings";
import { cohereInputs, embeddingsFromForm, embeddingsInputs, encodingOf } from "../request/inputs";
import { furtherFields, jsonAnswer, jsonArray } from "./json_answer";
import { readFields } from "../request/request_fields";
import { cohereBody, type EmbeddingsBody, embedBody, embeddingsBody } from "../request/request_schemas";
import type { Call, Route } from "../route";
import type { ServiceContext } from "../context";
import { servedModel } from "../served_model";

async function listAnswer(
  { vectors, tokens }: Embedded,
  encoding: Encoding,
  model: string,
): Promise<Response> {
  const data = await jsonArray(vectors.length, (index) => ({
    object: "embedding",
    index,
    embedding: encoded(vectors[index]!, encoding),
  }));
  const usage = { prompt_tokens: tokens, total_tokens: tokens };
  return jsonAnswer('{"object":"list","data":', data, furtherFields({ model, usage }));
}

/** OpenAI's shape, and with more fields those of Infinity, Jina and vLLM. */
async function answerEmbeddings(
  call: Call,
  context: ServiceContext,
  defaults: Partial<EmbeddingsBody> = {},
): Promise<Response> {
  const given = await readFields(call, context, embeddingsBody, embeddingsFromForm);
  const body = { ...defaults, ...given };
  const served = servedModel(context, body.model);
  const encoding = encodingOf(body);
  const { normalized: normalize, dimensions, truncate } = body;
  const options = { normalize, dimensions, truncate };
  const embedded = await embedInputs(embeddingsInputs(body), served, options, call, context);
  return listAnswer(embedded, encoding, served.name);
}

async function answerCohere(call: Call, context: ServiceContext): Promise<Response> {
  const body = await readFields(call, context, cohereBody);
  const served = servedModel(context, body.model);
  const inputs = cohereInputs(body);
  const options = {
    dimensions: body.output_dimension,
    dimensionsField: "output_dimension",
    truncate: body.truncate !== "NONE",
  };
  const { vectors, tokens } = await embedInputs(inputs, served, options, call, context);
  const parts: (string | Buffer[])[] = [`{"id":"${randomUUID()}","embeddings":{`];
  for (const [i, type] of [...new Set(body.embedding_types ?? (["float"] as const))].entries()) {
    parts.push(`${i > 0 ? "," : ""}"${type}":`);
    parts.push(await jsonArray(vectors.length, (index) => encoded(vectors[index]!, type)));
  }
  const images = inputs.filter((input) => "image" in input).length;
  const billed_units = { input_tokens: tokens, images };
  const meta = { api_version: { version: "2" }, billed_units };
  return jsonAnswer(...parts, "}", furtherFields({ meta, response_type: "embeddings_by_type" }));
}

/** The shape of text-embeddings-inference, which clients for Hugging Face's feature extraction use. */
async function answerEmbed(call: Call, context: ServiceContext): Promise<Response> {
  const body = await readFields(call, context, embedBody);
  const { inputs, normalize, truncate, dimensions } = body;
  const texts = typeof inputs === "string" ? [inputs] : inputs;
  const samples = texts.map((text, i) => ({
    param: typeof inputs === "string" ? "inputs" : `inputs[${i}]`,
    text,
  }));
  const options = { normalize, truncate, dimensions };
  const { vectors } = await embedInputs(samples, servedModel(context, body.model), options, call, context);
  return jsonAnswer(await jsonArray(vectors.length, (i) => Array.from(vectors[i]!)));
}

/** A route in OpenAI's shape. */
const embeddingsRoute = (path: string, summary: string, defaults?: Partial<EmbeddingsBody>): Route => ({
  method: "POST",
  path,
  summary,
  body: embeddingsBody,
  forms: true,
  answer: embeddingsAnswer,
  handle: (call, context) => answerEmbeddings(call, context, defaults),
});

export const embeddingsRoutes: readonly Route[] = [
  embeddingsRoute("/v1/embeddings", "Embeddings of texts and images (OpenAI, Infinity, Jina, vLLM)."),
  embeddingsRoute("/embeddings", "The same as /v1/embeddings (Infinity)."),
  embeddingsRoute("/embeddings_image", "Embeddings of images (Infinity).", { modality: "image" }),
  {
    method: "POST",
    path: "/v2/embed",
    summary: "Embeddings of texts and images by type (Cohere).",
    body: cohereBody,
    answer: cohereAnswer,
    handle: answerCohere,
  },
  {
    method: "POST",
    path: "/embed",
    summary: "Embeddings of texts (text-embeddings-inference, Hugging Face).",
    body: embedBody,
    answer: embedAnswer,
    handle: answerEmbed,
  },
];
