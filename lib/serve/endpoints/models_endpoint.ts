import { modelAnswer, modelsAnswer } from "./answer_schemas";
import type { ServiceContext } from "../context";
import { ENCODINGS } from "./encodings";
import type { Route } from "../route";
import { type ServedModel, servedModel } from "../served_model";

/** In seconds; models are listed in OpenAI's shape, which has one. */
const STARTED = Math.floor(Date.now() / 1000);

async function described(served: ServedModel, context: ServiceContext) {
  const { name, batcher } = served;
  const { model } = batcher;
  const { limits, maxBatch, maxQueue } = context;
  return {
    id: name,
    object: "model",
    created: STARTED,
    owned_by: "eva-clip",
    capabilities: ["image", "text", "classify"],
    embed_dim: model.embedDim,
    dimensions: model.config.matryoshka_dimensions ?? null,
    encodings: ENCODINGS,
    image_size: model.imageSize,
    context_length: model.contextLength,
    logit_scale: await context.labels.logitScale(served.batcher),
    precision: model.precision,
    device: model.device,
    fallback_reason: model.fallbackReason ?? null,
    queued: batcher.queued,
    limits: {
      max_body_bytes: limits.maxBodyBytes,
      max_pixels: limits.maxPixels,
      max_images: limits.maxImages,
      max_texts: limits.maxTexts,
      timeout_ms: limits.timeoutMs,
      max_batch: maxBatch,
      max_queue: maxQueue,
    },
  };
}

export const modelsRoutes: readonly Route[] = [
  {
    method: "GET",
    path: "/v1/models",
    summary: "The models, what they can do, and the limits of requests.",
    answer: modelsAnswer,
    async handle(_, context) {
      const models = [...context.models].map(([name, batcher]) => ({ name, batcher }));
      const data = await Promise.all(models.map((served) => described(served, context)));
      return Response.json({ object: "list", data });
    },
  },
  {
    method: "GET",
    path: "/v1/models/*name",
    summary: "One model.",
    answer: modelAnswer,
    async handle({ params }, context) {
      return Response.json(await described(servedModel(context, params.name), context));
    },
  },
];
