import { oneOf, options, ownArgument } from "../arguments";
import { type Preprocessing, preprocessingOf } from "../image/preprocessing";
import type { InitScheme } from "../nn/initialization";
import { Module } from "../nn/module";
import { Scope } from "../nn/scope";
import { clampUpdate } from "../ops/optimizer";
import type { Parameter } from "../parameter";
import { type ClipConfig, parseClipConfig, textModule } from "./clip_config";
import type { ImageTower } from "./image_tower";
import { imageTowerOf } from "./image_towers";
import { type Precision, precisionArgument } from "./precision";
import { TextTower } from "./text_tower";

/** The logarithm of the logit scale at the start of training (Radford et al. 2021, section 2.5). */
const INITIAL_LOGIT_SCALE = Math.log(1 / 0.07);
const LARGEST_LOGIT_SCALE = Math.log(100);

/** Fields of a configuration for SigLIP's loss, with its initial values (Zhai et al. 2023, section 3.2). */
export const SIGLIP_LOGITS = Object.freeze({ init_logit_scale: Math.log(10), init_logit_bias: -10 });

export interface ClipModelOptions {
  /** Precision of the model's computations; parameters have their own dtype. Default `f32`. */
  precision?: Precision;
  /** How parameters are initialized. Default `published`. */
  init?: InitScheme;
}

const modelOptions = options({
  precision: precisionArgument.optional(),
  init: oneOf("published", "fan_in").optional(),
});

/**
 * An image tower and a text tower with a shared embedding space, and the scale of their logits. It is described by a
 * configuration alone: its parameters have names and shapes, but no memory until they are allocated on a device.
 */
export class ClipModel extends Module {
  readonly logitScale: Parameter; // [], the logarithm of the scale
  readonly image: ImageTower;
  readonly text: TextTower;
  /** [], added to the logits of SigLIP's loss; null without `init_logit_bias`. */
  readonly logitBias: Parameter | null;
  /** Image preprocessing; u8 images are normalized by the image tower. */
  readonly preprocessing: Preprocessing;
  readonly config: ClipConfig;

  /** @throws EvaClipError `ERR_EVACLIP_INVALID_CONFIG` */
  constructor(given: ClipConfig, how: ClipModelOptions = {}) {
    super();
    const config = parseClipConfig(given, "ClipModel: config");
    this.config = config;
    const { precision = "f32", init = "published" } = ownArgument("ClipModel: options", how, modelOptions);
    const { embed_dim: embedDim, vision_cfg, text_cfg } = config;
    const activation = config.quick_gelu ? "quick_gelu" : "gelu";
    this.preprocessing = preprocessingOf(config);
    const root = new Scope();
    const shared = { embedDim, precision, init, activation } as const;
    const constant = (value: number) => ({ initial: { kind: "constant", value } as const });
    const { init_logit_scale: logitScale = INITIAL_LOGIT_SCALE, init_logit_bias: logitBias } = config;
    this.logitScale = root.parameter("logit_scale", [], constant(logitScale));
    this.image = imageTowerOf(vision_cfg).build(vision_cfg, {
      ...shared,
      scope: root.at("visual", { tower: "image" }),
      pixels: this.preprocessing,
    });
    const text = root.at(textModule(config), { tower: "text" });
    this.text = new TextTower(text_cfg, { ...shared, scope: text });
    this.logitBias = logitBias === undefined ? null : root.parameter("logit_bias", [], constant(logitBias));
    root.checkHeldBy(this);
  }

  /** Every parameter by its published state-dict key. */
  stateDict(): Map<string, Parameter> {
    return new Map(this.parameters().map((parameter) => [parameter.name, parameter]));
  }

  /** Records that the logit scale is clamped to 1 … 100, as after every step of CLIP's training. */
  clampLogitScale(): void {
    clampUpdate([this.logitScale], 0, LARGEST_LOGIT_SCALE);
  }
}
