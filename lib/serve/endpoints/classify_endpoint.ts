import type { z } from "zod";
import { classifyAnswer } from "./answer_schemas";
import { bestLabels, DEFAULT_TEMPLATES } from "../../clip/classification";
import { inTurns } from "../../image/turns";
import type { ServiceContext } from "../context";
import { countTokens, embedInputs } from "./embed";
import { HttpError } from "../http_error";
import { classifyFromForm, type Input } from "../request/inputs";
import { jsonAnswer, jsonArray, furtherFields } from "./json_answer";
import { readFields } from "../request/request_fields";
import { classifyBody } from "../request/request_schemas";
import type { Call, Route } from "../route";
import { servedModel } from "../served_model";

interface Scores {
  readonly similarity: Float32Array;
  readonly probability: Float32Array;
}

function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

/** Cosines of an image with every label, and the softmax of e^logit_scale × cosine. */
function scoresOf(image: Float32Array, labels: readonly Float32Array[], scale: number): Scores {
  const similarity = Float32Array.from(labels, (label) => dot(image, label));
  const most = similarity.reduce((a, b) => Math.max(a, b));
  const powers = Float64Array.from(similarity, (value) => Math.exp(scale * (value - most)));
  const sum = powers.reduce((a, b) => a + b);
  return { similarity, probability: Float32Array.from(powers, (power) => power / sum) };
}

function imagesOf({ image, images }: Pick<z.output<typeof classifyBody>, "image" | "images">): Input[] {
  if ((image === undefined) === (images === undefined))
    throw new HttpError(400, "give either image or images", { code: "invalid_request", param: "image" });
  if (image !== undefined) return [{ param: "image", image }];
  return images!.map((each, i) => ({ param: `images[${i}]`, image: each }));
}

function checkPrompts(labels: number, templates: number, { limits }: ServiceContext): void {
  if (labels * templates <= limits.maxTexts) return;
  const found = `found ${labels} labels × ${templates} templates`;
  const message = `a request may have at most ${limits.maxTexts} prompts, ${found}`;
  throw new HttpError(400, message, { code: "too_many_inputs", param: "labels" });
}

async function answerClassify(call: Call, context: ServiceContext): Promise<Response> {
  const body = await readFields(call, context, classifyBody, classifyFromForm);
  const { labels, templates = DEFAULT_TEMPLATES, top_k: topK = labels.length } = body;
  const served = servedModel(context, body.model);
  const images = imagesOf(body);
  checkPrompts(labels.length, templates.length, context);
  const [{ vectors }, directions, scale, tokens] = await Promise.all([
    embedInputs(images, served, {}, call, context),
    context.labels.directions(served.batcher, labels, templates, call.signal),
    context.labels.logitScale(served.batcher),
    countTokens(
      labels.map((text, i) => ({ param: `labels[${i}]`, text })),
      served,
    ),
  ]);
  const scores: Scores[] = [];
  await inTurns(vectors.length, 2 ** 21 / (labels.length * served.batcher.model.embedDim), (begin, end) => {
    for (let i = begin; i < end; i++) scores.push(scoresOf(vectors[i]!, directions, scale));
  });
  const data = await jsonArray(vectors.length, (index) => {
    const { similarity, probability } = scores[index]!;
    return { object: "classification", index, labels: bestLabels(labels, similarity, probability, topK) };
  });
  const usage = { prompt_tokens: tokens, total_tokens: tokens };
  return jsonAnswer('{"object":"list","data":', data, furtherFields({ model: served.name, usage }));
}

export const classifyRoutes: readonly Route[] = [
  {
    method: "POST",
    path: "/v1/classify",
    summary: "Probabilities of labels for images (zero-shot classification).",
    body: classifyBody,
    forms: true,
    answer: classifyAnswer,
    handle: answerClassify,
  },
];
