import type { AttentionContext, RowSelection } from "../nn/attention";
import type { Block } from "../nn/block";
import { clipImageInitialization, fanInInitialization } from "../nn/initialization";
import { LayerNorm } from "../nn/layer_norm";
import { PatchEmbedding } from "../nn/patch_embedding";
import type { Precision } from "./precision";
import { type Activation, matmul } from "../ops/linear";
import { Parameter } from "../parameter";
import type { Operand, Tensor } from "../tensor";
import type { VisionConfig } from "./clip_config";
import { classTokens, ImageTower, type TowerOptions, toFloat32 } from "./image_tower";
import { CLIP_EPS, residualBlock } from "./residual_block";

const PREFIX = "visual.";

/** The image tower of OpenAI's CLIP, a vision transformer with a norm before the first block (Radford et al. 2021). */
export class ClipVisionTower extends ImageTower {
  readonly imageSize: number;
  readonly precision: Precision;
  readonly patchDropout: number;
  protected readonly embedding: PatchEmbedding;
  private readonly normBefore: LayerNorm;
  protected readonly blocks: readonly Block[];
  private readonly normAfter: LayerNorm;
  private readonly projection: Parameter; // [width, embedDim]

  constructor(config: VisionConfig, options: TowerOptions & { activation: Activation }) {
    super();
    const { embedDim, precision, activation, pixels } = options;
    const { width, layers, head_width, mlp_ratio, image_size, patch_size } = config;
    this.imageSize = image_size;
    this.precision = precision;
    this.patchDropout = config.patch_dropout;
    const hidden = Math.trunc(width * mlp_ratio);
    const size = { layers, width, hidden, patchColumns: 3 * patch_size * patch_size };
    const published = clipImageInitialization(size);
    const init = options.init === "fan_in" ? fanInInitialization(size, width ** -0.5) : published;
    const names = {
      classToken: `${PREFIX}class_embedding`,
      positions: `${PREFIX}positional_embedding`,
      weight: `${PREFIX}conv1.weight`,
    };
    const embedded = { imageSize: image_size, patchSize: patch_size, width, init, pixels };
    this.embedding = new PatchEmbedding(names, embedded);
    this.normBefore = new LayerNorm(`${PREFIX}ln_pre`, width, CLIP_EPS);
    const shape = { width, heads: width / head_width, hidden, init, activation };
    this.blocks = Array.from({ length: layers }, (_, i) => residualBlock(PREFIX, i, shape));
    this.normAfter = new LayerNorm(`${PREFIX}ln_post`, width, CLIP_EPS);
    this.projection = new Parameter(`${PREFIX}proj`, [width, embedDim], init.head);
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
