import {
  abortSignal,
  checkArgument,
  flag,
  instanceOf,
  listOf,
  oneOf,
  options,
  ownArgument,
  pathText,
  text,
} from "../arguments";
import { invalidConfig } from "./config/config_fields";
import type { LayoutName, StoredLayout } from "./layouts/layout";
import { planLoad } from "./load_plan";
import type { LoadReport } from "./load_report";
import { carryOutLoad } from "./load_weights";
import { detectLayout } from "./layouts/detect_layout";
import { findConfig } from "./config/resolve_config";
import { storedActivation } from "./config/stored_activation";
import { storedPreprocessing } from "./config/stored_preprocessing";
import { withStoredTokenizer } from "./config/stored_tokenizer";
import type { WeightsChoice } from "../io/moving_average";
import type { TensorSource } from "../io/tensor_source";
import { isEva } from "../models/clip_config";
import { ClipModel } from "../models/clip_model";
import { sameNormalization } from "../image/preprocessing";
import { tokenizerProblem } from "../models/stated_tokenizer";
import type { Initializer } from "../parameter";
import { openWeights } from "./open_weights";
import { TOWER_SKIP_LIST } from "./tower_skip_list";

/** Weights to start from. */
export interface PretrainedWeights extends WeightsChoice {
  /** A file in any known layout, an index of shards, or a folder that holds one. */
  readonly path: string;
  /**
   * Parameters and tensors that start fresh: whole names, or ends of names after a dot. Default `TOWER_SKIP_LIST` for a
   * tower, nothing for a whole model.
   */
  readonly skip?: readonly string[];
  /** The activation they were trained with, where the file does not tell; `any` takes them with another one too. */
  readonly activation?: "gelu" | "quick_gelu" | "any";
}

/** What a model starts from; a tower of its own goes over that of the whole model. */
export interface Pretrained {
  readonly model?: PretrainedWeights | undefined;
  readonly image?: PretrainedWeights | undefined;
  readonly text?: PretrainedWeights | undefined;
}

const weightsArgument = options({
  path: pathText,
  skip: listOf(text, "a list of names").optional(),
  activation: oneOf("gelu", "quick_gelu", "any").optional(),
  ema: flag.optional(),
}).optional();
const pretrainedArgument = options({
  model: weightsArgument,
  image: weightsArgument,
  text: weightsArgument,
});

/** Where the value of a parameter comes from. */
export interface ParameterStart {
  readonly name: string;
  readonly origin: "loaded" | "resized" | "initial";
  /** The file, and its tensors in the order in which their rows follow one another. */
  readonly path?: string;
  readonly from?: readonly string[];
  /** How it was resized; of an initial value, its distribution. */
  readonly note?: string;
}

/** One file of weights, and what of it was used. */
export interface InitializationSource extends Pick<LoadReport, "path" | "derived" | "unused"> {
  readonly towers: "both" | "image" | "text";
  readonly layout: LayoutName;
  readonly skip: readonly string[];
}

/** How a model started: every parameter's origin, in the model's order. */
export interface Initialization {
  readonly sources: readonly InitializationSource[];
  readonly parameters: readonly ParameterStart[];
}

type Towers = InitializationSource["towers"];

function describeInitializer(initial: Initializer): string {
  if (initial.kind === "constant") return `constant ${Number(initial.value.toPrecision(6))}`;
  return `normal, deviation ${Number(initial.std.toPrecision(4))}`;
}

const activationName = (isQuick: boolean) => (isQuick ? "QuickGELU" : "GELU");

/** Of all the towers, EVA's image tower alone has no activation to choose. */
function readsActivation(model: ClipModel, towers: Towers): boolean {
  return towers !== "image" || !isEva(model.config);
}

/** @throws EvaClipError `ERR_EVACLIP_INVALID_CONFIG` unless the weights were trained with the model's activation. */
async function checkActivation(
  model: ClipModel,
  source: TensorSource,
  stored: StoredLayout,
  stated: PretrainedWeights["activation"],
): Promise<void> {
  if (stated === "any") return;
  const { quick_gelu: expected } = model.config;
  const known = await storedActivation(source, stored);
  const { path } = source;
  if (known === undefined && stated === undefined) {
    const message =
      `${path} does not tell the activation that its weights were trained with: state it as activation, gelu or quick_gelu ` +
      "(OpenAI's weights), or any to take them with either";
    throw invalidConfig(message, { path, state: ["activation"] });
  }
  const found = known?.quickGelu ?? stated === "quick_gelu";
  if (known !== undefined && stated !== undefined && known.quickGelu !== (stated === "quick_gelu")) {
    const message = `${path} needs ${activationName(found)}, because ${known.reason}; ${stated} was stated`;
    throw invalidConfig(message, { path, stated });
  }
  if (found === expected) return;
  const message =
    `${path} was trained with ${activationName(found)} (${known?.reason ?? "as stated"}), and the model computes ` +
    `${activationName(expected)}: set quick_gelu to ${found} in its configuration, or state the activation any to take the ` +
    "weights all the same";
  throw invalidConfig(message, { path, expected, found });
}

/** @throws EvaClipError `ERR_EVACLIP_INVALID_CONFIG` when weights state other images or texts than the model is given. */
async function checkInputs(model: ClipModel, source: TensorSource, stored: StoredLayout, towers: Towers) {
  const { path } = source;
  const images = towers === "text" ? undefined : await storedPreprocessing(source, stored.layout.name);
  if (images && !sameNormalization(images.preprocessing, model.preprocessing)) {
    const message =
      `${images.where} states another mean and std of images than the model's: state them as preprocess_cfg of the model's ` +
      `configuration, ${JSON.stringify(images.preprocessing)}`;
    throw invalidConfig(message, {
      path,
      field: "preprocess_cfg",
      expected: model.preprocessing,
      found: images.preprocessing,
    });
  }
  if (towers === "image") return;
  const { text_cfg } = await withStoredTokenizer(model.config, source);
  const found = (await findConfig(source, stored))?.config.text_cfg;
  const problem =
    tokenizerProblem({ text_cfg }) ?? tokenizerProblem({ text_cfg: { ...found, vocab_size: 0 } });
  if (problem === undefined || problem === tokenizerProblem(model.config)) return;
  throw invalidConfig(`${path} was not trained with the model's tokenizer: ${problem}`, { path, problem });
}

/**
 * Fills a model, whose parameters have initial values, from pretrained weights as EVA-CLIP does: a whole model's, then each
 * tower's own. Position embeddings, patch projections and contexts of another size are resized.
 *
 * @returns the origin of every parameter
 * @throws EvaClipError as `loadWeights`; `ERR_EVACLIP_INVALID_CONFIG` when weights were trained with another activation than
 *   the model's, or nothing tells with which, or state another normalization of images or tokenizer
 */
export async function loadPretrained(
  model: ClipModel,
  pretrained: Pretrained,
  given: { signal?: AbortSignal } = {},
): Promise<Initialization> {
  checkArgument("loadPretrained: model", model, instanceOf(ClipModel));
  const own = ownArgument("loadPretrained: pretrained", pretrained, pretrainedArgument);
  const { model: whole, image, text: captions } = own;
  const loadOptions = options({ signal: abortSignal.optional() });
  const { signal } = ownArgument("loadPretrained: options", given, loadOptions);
  const starts = new Map<string, ParameterStart>(
    model
      .parameters()
      .map(({ name, initial }) => [name, { name, origin: "initial", note: describeInitializer(initial) }]),
  );
  const sources: InitializationSource[] = [];
  const plans: [Towers, PretrainedWeights | undefined][] = [
    ["both", whole],
    ["image", image],
    ["text", captions],
  ];
  for (const [towers, weights] of plans) {
    if (weights === undefined) continue;
    const skip = weights.skip ?? (towers === "both" ? [] : TOWER_SKIP_LIST);
    await using source = await openWeights(weights.path, weights);
    const stored = detectLayout(source.tensors.keys(), source.path);
    await checkInputs(model, source, stored, towers);
    if (readsActivation(model, towers)) await checkActivation(model, source, stored, weights.activation);
    const plan = planLoad(model, source, stored, { towers, skip });
    await carryOutLoad(plan, signal);
    const { path, layout, derived, unused, parameters } = plan.report;
    sources.push({ path, towers, layout, skip, derived, unused });
    for (const { name, origin, from, note } of parameters) {
      if (origin !== "loaded" && origin !== "resized") continue;
      starts.set(name, { name, origin, path, from, ...(note !== undefined && { note }) });
    }
  }
  return { sources, parameters: [...starts.values()] };
}
