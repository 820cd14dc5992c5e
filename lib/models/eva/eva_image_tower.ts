import { type AttentionContext, EvaAttention, type RowSelection } from "../../nn/attention";
import { Block } from "../../nn/block";
import {
  evaImageInitialization,
  fanInInitialization,
  type Initialization,
  type InitScheme,
} from "../../nn/initialization";
import { LayerNorm, type Norm, RmsNorm } from "../../nn/layer_norm";
import { Linear } from "../../nn/linear";
import { Mlp } from "../../nn/mlp";
import { PatchEmbedding } from "../../nn/patch_embedding";
import { ropeTable } from "../../nn/rope";
import type { Scope } from "../../nn/scope";
import { SwiGlu } from "../../nn/swiglu";
import { meanTokens } from "../../ops/layout";
import { constant, type Operand, type Tensor } from "../../tensor";
import { type ImageTowerOptions, toFloat32 } from "../image_tower";
import { hiddenWidth } from "../mlp_width";
import type { Precision } from "../precision";
import { classTokens, VisionTransformer } from "../vision_transformer";
import { type EvaTowerConfig, poolsMean } from "./eva_tower_config";

const EPS = 1e-6;
/** Large initial position embeddings for the `fan_in` scheme, so that small models learn positions early. */
const FAN_IN_POSITION_STD = 0.3;
const KEYS = {
  classToken: "cls_token",
  positions: "pos_embed",
  weight: "patch_embed.proj.weight",
  bias: "patch_embed.proj.bias",
  leading: [1],
};

/**
 * EVA's image towers: EVA-01 (GELU MLP, layer scale), EVA-02 (rotary positions, SwiGLU, sub-LN), EVA-02-E
 * (post-norm) and EVA-CLIP-8B and 18B (RMS norm, no bias in the projections to queries, keys, values and the shared
 * space) (Fang et al. 2023; Sun et al. 2023, EVA-CLIP; Sun et al. 2024, EVA-CLIP-18B).
 */
export class EvaImageTower extends VisionTransformer {
  readonly imageSize: number;
  readonly precision: Precision;
  readonly patchDropout: number;
  protected readonly embedding: PatchEmbedding;
  protected readonly blocks: readonly Block[];
  private readonly norm: Norm;
  private readonly projection: Linear; // [embedDim, width]

  constructor(
    private readonly config: EvaTowerConfig,
    { scope, embedDim, precision, init: scheme, pixels }: ImageTowerOptions,
  ) {
    super();
    const { width, layers, image_size, patch_size } = config;
    this.imageSize = image_size;
    this.precision = precision;
    this.patchDropout = config.patch_dropout;
    const init = initialization(config, scheme);
    const shape = { imageSize: image_size, patchSize: patch_size, width, init, pixels };
    this.embedding = new PatchEmbedding(scope.at("", { layer: "embedding" }), KEYS, shape);
    this.blocks = Array.from({ length: layers }, (_, i) => evaBlock(scope, i, config, init));
    const norm = scope.at(poolsMean(config) ? "fc_norm" : "norm", { layer: "final_norm" });
    this.norm = tokenNorm(norm, config);
    const head = { inputs: width, outputs: embedDim, init: init.head, bias: config.qkv_bias };
    this.projection = new Linear(scope.at("head", { layer: "head" }), head);
  }

  protected tokens(images: Tensor, kept?: Operand): Tensor {
    return this.embedding.forward(images, kept, this.precision);
  }

  protected context(kept?: Operand): AttentionContext {
    const { rope, head_width: headDim, pt_hw_seq_len: pretrainedGrid, intp_freq: interpolate } = this.config;
    if (!rope) return {};
    const { grid } = this.embedding;
    const table = ropeTable({ grid, headDim, pretrainedGrid, interpolate });
    return { rope: constant(table, [grid, headDim / 4, 2]), kept };
  }

  protected selection(batch: number): RowSelection | undefined {
    return poolsMean(this.config) ? undefined : classTokens(batch);
  }

  protected head(x: Tensor): Tensor {
    const { global_average_pool } = this.config;
    const pooled = poolsMean(this.config) ? meanTokens(x, global_average_pool ? 0 : 1) : x;
    return this.projection.forward(this.norm.forward(toFloat32(pooled)));
  }
}

function tokenNorm(scope: Scope, { use_rms_norm, width }: EvaTowerConfig): Norm {
  return use_rms_norm ? new RmsNorm(scope, width, EPS) : new LayerNorm(scope, width, EPS);
}

function initialization(config: EvaTowerConfig, scheme: InitScheme): Initialization {
  const { layers, width, patch_size } = config;
  const size = { layers, width, hidden: hiddenWidth(config), patchColumns: 3 * patch_size * patch_size };
  return scheme === "fan_in" ? fanInInitialization(size, FAN_IN_POSITION_STD) : evaImageInitialization(size);
}

function evaBlock(tower: Scope, index: number, config: EvaTowerConfig, initial: Initialization): Block {
  const { width, head_width, layers, postnorm, subln, qkv_bias, ls_init_value, drop_path_rate } = config;
  const scope = tower.at(`blocks.${index}`, { layer: index });
  const init = initial.block(index);
  const mlpShape = { width, hidden: hiddenWidth(config), init };
  const layerScale = (key: string) =>
    ls_init_value
      ? scope.parameter(key, [width], { initial: { kind: "constant", value: ls_init_value } })
      : null;
  return new Block({
    gamma1: layerScale("gamma_1"),
    gamma2: layerScale("gamma_2"),
    norm1: tokenNorm(scope.at("norm1"), config),
    attention: new EvaAttention(scope.at("attn"), {
      width,
      heads: width / head_width,
      init,
      qkvBias: qkv_bias,
      subNorm: subln,
      eps: EPS,
    }),
    norm2: tokenNorm(scope.at("norm2"), config),
    mlp: config.naiveswiglu
      ? new SwiGlu(scope.at("mlp"), mlpShape, { subNorm: subln, eps: EPS })
      : new Mlp(scope.at("mlp"), ["fc1", "fc2"], mlpShape, "gelu"),
    postNorm: postnorm,
    index,
    dropPathRate: ((drop_path_rate ?? 0) * index) / Math.max(1, layers - 1),
  });
}
