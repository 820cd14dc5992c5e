import type { AttentionContext, RowSelection } from "../../nn/attention";
import type { Block } from "../../nn/block";
import { clipImageInitialization, fanInInitialization } from "../../nn/initialization";
import { LayerNorm } from "../../nn/layer_norm";
import { PatchEmbedding } from "../../nn/patch_embedding";
import { matmul } from "../../ops/linear";
import type { Parameter } from "../../parameter";
import type { Operand, Tensor } from "../../tensor";
import { type ImageTowerOptions, toFloat32 } from "../image_tower";
import { hiddenWidth } from "../mlp_width";
import type { Precision } from "../precision";
import { CLIP_EPS, residualBlock } from "../residual_block";
import { classTokens, VisionTransformer } from "../vision_transformer";
import type { ClipTowerConfig } from "./clip_tower_config";

/** The keys of OpenAI's patch embedding. */
const KEYS = {
  classToken: "class_embedding",
  positions: "positional_embedding",
  weight: "conv1.weight",
  alignCorners: true,
};

/** The image tower of OpenAI's CLIP, with a norm before the first block (Radford et al. 2021). */
export class ClipImageTower extends VisionTransformer {
  readonly imageSize: number;
  readonly precision: Precision;
  readonly patchDropout: number;
  protected readonly embedding: PatchEmbedding;
  private readonly normBefore: LayerNorm;
  protected readonly blocks: readonly Block[];
  private readonly normAfter: LayerNorm;
  private readonly projection: Parameter; // [width, embedDim]

  constructor(config: ClipTowerConfig, options: ImageTowerOptions) {
    super();
    const { scope, embedDim, precision, activation, pixels } = options;
    const { width, layers, head_width, image_size, patch_size } = config;
    this.imageSize = image_size;
    this.precision = precision;
    this.patchDropout = config.patch_dropout;
    const hidden = hiddenWidth(config);
    const size = { layers, width, hidden, patchColumns: 3 * patch_size * patch_size };
    const init =
      options.init === "fan_in" ? fanInInitialization(size, width ** -0.5) : clipImageInitialization(size);
    const embedded = { imageSize: image_size, patchSize: patch_size, width, init, pixels };
    this.embedding = new PatchEmbedding(scope.at("", { layer: "embedding" }), KEYS, embedded);
    this.normBefore = new LayerNorm(scope.at("ln_pre", { layer: "input_norm" }), width, CLIP_EPS);
    const shape = { width, heads: width / head_width, hidden, init, activation };
    this.blocks = Array.from({ length: layers }, (_, i) => residualBlock(scope, i, shape));
    this.normAfter = new LayerNorm(scope.at("ln_post", { layer: "final_norm" }), width, CLIP_EPS);
    const head = { initial: init.head, decays: true };
    this.projection = scope.at("", { layer: "head" }).parameter("proj", [width, embedDim], head);
  }

  protected tokens(images: Tensor, kept?: Operand): Tensor {
    return this.normBefore.forward(this.embedding.forward(images, kept, this.precision));
  }

  protected context(): AttentionContext {
    return {};
  }

  protected selection(batch: number): RowSelection {
    return classTokens(batch);
  }

  protected head(x: Tensor): Tensor {
    return matmul(this.normAfter.forward(toFloat32(x)), this.projection);
  }
}
