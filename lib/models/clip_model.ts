import { oneOf, options, ownArgument } from "../arguments";
import type { InitScheme } from "../nn/initialization";
import { Module } from "../nn/module";
import { clampUpdate } from "../ops/optimizer";
import { Parameter } from "../parameter";
import { type ClipConfig, isEva, parseClipConfig, textPrefix } from "./clip_config";
import { ClipVisionTower } from "./clip_vision";
import { EvaVisionTower } from "./eva_vision";
import type { ImageTower } from "./image_tower";
import { type Precision, precisionArgument } from "./precision";
import { type Preprocessing, preprocessingOf } from "../image/preprocessing";
import { TextTower } from "./text_tower";

/** The logarithm of the logit scale at the start of training (Radford et al. 2021, section 2.5). */
const INITIAL_LOGIT_SCALE = Math.log(1 / 0.07);
const LARGEST_LOGIT_SCALE = Math.log(100);

export interface ClipModelOptions {
  /** What the model computes in; parameters keep their own dtype. */
  precision?: Precision;
  /** How parameters start. */
  init?: InitScheme;
}

const modelOptions = options({
  precision: precisionArgument.optional(),
  init: oneOf("published", "fan_in").optional(),
});

/**
 * An image tower and a text tower with a shared space, and the scale of their logits. Made from a configuration
 * alone: its parameters have names and shapes, but no memory until they are allocated on a device.
 */
export class ClipModel extends Module {
  readonly logitScale: Parameter; // [], the logarithm of the scale
  readonly image: ImageTower;
  readonly text: TextTower;
  /** What images go through; u8 images are normalised by the image tower. */
  readonly preprocessing: Preprocessing;
  readonly config: ClipConfig;

  constructor(given: ClipConfig, how: ClipModelOptions = {}) {
    super();
    const config = parseClipConfig(given, "ClipModel: config");
    this.config = config;
    const { precision = "f32", init = "published" } = ownArgument("ClipModel: options", how, modelOptions);
    const { embed_dim: embedDim, vision_cfg: vision, text_cfg: text } = config;
    const activation = config.quick_gelu ? "quick_gelu" : "gelu";
    this.preprocessing = preprocessingOf(config);
    const options = { embedDim, precision, init, pixels: this.preprocessing };
    this.logitScale = new Parameter("logit_scale", [], { kind: "constant", value: INITIAL_LOGIT_SCALE });
    this.image = isEva(config)
      ? new EvaVisionTower(vision, options)
      : new ClipVisionTower(vision, { ...options, activation });
    this.text = new TextTower(text, { ...options, activation, prefix: textPrefix(config) });
  }

  /** Every parameter by its published state-dict key. */
  stateDict(): Map<string, Parameter> {
    return new Map(this.parameters().map((parameter) => [parameter.name, parameter]));
  }

  /** Records that the logit scale is kept between 1 and 100, as after every step of CLIP's training. */
  clampLogitScale(): void {
    clampUpdate([this.logitScale], 0, LARGEST_LOGIT_SCALE);
  }
}
