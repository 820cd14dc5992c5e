import {
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
import { activationName, invalidConfig } from "./config/config_fields";
import type { LayoutName, StoredLayout } from "./layouts/layout";
import { planLoad } from "./load_plan";
import type { LoadReport } from "./load_report";
import { carryOutLoad } from "./load_weights";
import { detectLayout } from "./layouts/detect_layout";
import { findConfig } from "./config/resolve_config";
import { storedActivation } from "./config/stored_activation";
import { storedPreprocessing } from "./config/stored_preprocessing";
import type { HubOptions } from "../hub/repository";
import { withStoredTokenizer } from "./config/stored_tokenizer";
import type { WeightsChoice } from "../io/moving_average";
import type { TensorSource } from "../io/tensor_source";
import { ClipModel } from "../models/clip_model";
import { imageTowerOf } from "../models/image_towers";
import { sameNormalization } from "../image/preprocessing";
import { tokenizerProblem } from "../models/stated_tokenizer";
import type { Initializer } from "../parameter";
import { hubFields, openWeights } from "./open_weights";
import { TOWER_SKIP_LIST } from "./tower_skip_list";

/** Pretrained weights to start training from. */
export interface PretrainedWeights extends WeightsChoice {
  /** A file in any known layout, an index of shards, a folder that holds one, a published model, or `hf-hub:OWNER/NAME`. */
  readonly path: string;
  /**
   * Parameters and tensors not to load: whole names, or ends of names after a dot. Default `TOWER_SKIP_LIST` for a tower,
   * nothing for a whole model.
   */
  readonly skip?: readonly string[];
  /** The activation they were trained with, if the file does not say; `any` skips the check. */
  readonly activation?: "gelu" | "quick_gelu" | "any";
}

/** The weights that a model starts from; tower weights override the whole model's. */
export interface Pretrained {
  readonly model?: PretrainedWeights | undefined;
  readonly image?: PretrainedWeights | undefined;
  readonly text?: PretrainedWeights | undefined;
}

const hubOptions = options(hubFields);
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

/** The source of a parameter's initial value. */
export interface ParameterStart {
  readonly name: string;
  /** The block of its tower, from 0; undefined outside of blocks. */
  readonly block?: number;
  readonly origin: "loaded" | "resized" | "initial";
  /** The file, and its tensors in the order of their rows. */
  readonly path?: string;
  readonly from?: readonly string[];
  /** The resizing, or the distribution of an initial value. */
  readonly note?: string;
}

/** One file of weights, and how it was used. */
export interface InitializationSource extends Pick<LoadReport, "path" | "derived" | "unused"> {
  readonly towers: "both" | "image" | "text";
  readonly layout: LayoutName;
  readonly skip: readonly string[];
}

/** How a model was initialized: every parameter's origin, in the model's order. */
export interface Initialization {
  readonly sources: readonly InitializationSource[];
  readonly parameters: readonly ParameterStart[];
}

type Towers = InitializationSource["towers"];

function describeInitializer(initial: Initializer): string {
  if (initial.kind === "constant") return `constant ${Number(initial.value.toPrecision(6))}`;
  return `normal, std ${Number(initial.std.toPrecision(4))}`;
}

/** Whether a tower's activation is configurable; that of some image towers is not. */
function readsActivation(model: ClipModel, towers: Towers): boolean {
  return towers !== "image" || imageTowerOf(model.config.vision_cfg).activation === undefined;
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
      `cannot tell the activation of ${path}: pass activation "gelu" or "quick_gelu" (OpenAI's weights), or "any" to skip ` +
      "the check";
    throw invalidConfig(message, { path, state: ["activation"] });
  }
  const found = known?.quickGelu ?? stated === "quick_gelu";
  if (known !== undefined && stated !== undefined && known.quickGelu !== (stated === "quick_gelu")) {
    const message = `${path} needs ${activationName(found)}, because ${known.reason}; activation ${stated} was passed`;
    throw invalidConfig(message, { path, stated });
  }
  if (found === expected) return;
  const message =
    `${path} was trained with ${activationName(found)} (${known?.reason ?? "as stated"}), but the model computes ` +
    `${activationName(expected)}: set quick_gelu to ${found} in its configuration, or pass activation "any" to skip the ` +
    "check";
  throw invalidConfig(message, { path, expected, found });
}

/** @throws EvaClipError `ERR_EVACLIP_INVALID_CONFIG` when weights state another normalization or tokenizer than the model's. */
async function checkInputs(model: ClipModel, source: TensorSource, stored: StoredLayout, towers: Towers) {
  const { path } = source;
  const images = towers === "text" ? undefined : await storedPreprocessing(source, stored.layout.name);
  if (images && !sameNormalization(images.preprocessing, model.preprocessing)) {
    const message =
      `${images.where} states another mean and std of images than the model's: set preprocess_cfg of the model's ` +
      `configuration to ${JSON.stringify(images.preprocessing)}`;
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
 * Loads pretrained weights into an initialized model, as EVA-CLIP does: first those of a whole model, then those of each
 * tower. Position embeddings, patch projections and contexts of another size are resized.
 *
 * @returns the origin of every parameter
 * @throws EvaClipError as `loadWeights`; `ERR_EVACLIP_INVALID_CONFIG` when weights were trained with another or an unknown
 *   activation, or with another normalization of images or tokenizer
 */
export async function loadPretrained(
  model: ClipModel,
  pretrained: Pretrained,
  given: HubOptions = {},
): Promise<Initialization> {
  checkArgument("loadPretrained: model", model, instanceOf(ClipModel));
  const own = ownArgument("loadPretrained: pretrained", pretrained, pretrainedArgument);
  const { model: whole, image, text: captions } = own;
  const how = ownArgument("loadPretrained: options", given, hubOptions);
  const { signal } = how;
  const starts = new Map<string, ParameterStart>(
    model.parameters().map(({ name, initial, role }) => {
      const block = typeof role?.layer === "number" ? { block: role.layer } : {};
      return [name, { name, ...block, origin: "initial", note: describeInitializer(initial) }];
    }),
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
    const { path: name, ema } = weights;
    await using source = await openWeights(name, { ...how, ...(ema !== undefined && { ema }) });
    const stored = detectLayout(source.tensors.keys(), source.path);
    await checkInputs(model, source, stored, towers);
    if (readsActivation(model, towers)) await checkActivation(model, source, stored, weights.activation);
    const plan = planLoad(model, source, stored, { towers, skip });
    await carryOutLoad(plan, signal);
    const { path, layout, derived, unused, parameters } = plan.report;
    sources.push({ path, towers, layout, skip, derived, unused });
    for (const { name, origin, from, note } of parameters) {
      if (origin !== "loaded" && origin !== "resized") continue;
      const { block } = starts.get(name)!;
      const more = { ...(block !== undefined && { block }), ...(note !== undefined && { note }) };
      starts.set(name, { name, origin, path, from, ...more });
    }
  }
  return { sources, parameters: [...starts.values()] };
}
