import type { ImageTowerInference } from "../image_tower_descriptor";
import {
  transformerEvidence,
  transformerFactsIn,
  transformerFactsOf,
  type VisionTransformerFacts,
} from "../vision_transformer_facts";
import type { EvaVariant } from "./eva_layouts";
import { type EvaTowerConfig, poolsMean } from "./eva_tower_config";

/** The fields of an EVA tower that names and shapes determine. */
export interface EvaFacts extends VisionTransformerFacts {
  readonly qkvBias: boolean;
  readonly subNorm: boolean;
  readonly swiglu: boolean;
  readonly rmsNorm: boolean;
  readonly layerScale: boolean;
  readonly poolsMean: boolean;
}

/** The initial value of layer scales (EVA01-CLIP-B-16), which their values in a file do not reveal. */
const LAYER_SCALE = 0.1;
const ROPE_TABLE = /(^|\.)rope\.freqs_cos$/;
const BLOCKS = "visual.blocks";

export const evaInference: ImageTowerInference<EvaTowerConfig, EvaVariant, EvaFacts> = {
  factsOf: (config) => ({
    ...transformerFactsOf(config),
    qkvBias: config.qkv_bias,
    subNorm: config.subln,
    swiglu: config.naiveswiglu,
    rmsNorm: config.use_rms_norm,
    layerScale: Boolean(config.ls_init_value),
    poolsMean: poolsMean(config),
  }),

  factsIn: (shapes) => {
    const { separate: subNorm, swiglu } = shapes.variant;
    return {
      ...transformerFactsIn(shapes, {
        patches: "visual.patch_embed.proj.weight",
        positions: "visual.pos_embed",
        blocks: BLOCKS,
        mlp: `mlp.${swiglu ? "w1" : "fc1"}.weight`,
      }),
      qkvBias: shapes.has(`${BLOCKS}.0.attn.q_bias`),
      subNorm,
      swiglu,
      rmsNorm: !shapes.has(`${BLOCKS}.0.norm1.bias`),
      layerScale: shapes.has(`${BLOCKS}.0.gamma_1`),
      poolsMean: shapes.has("visual.fc_norm.weight"),
    };
  },

  resembles: (facts, published) => facts.width === published.width && facts.swiglu === published.swiglu,

  evidence: (facts, { reference, stated, hasTensor }) => {
    // Sub-LN came with EVA-02, which has rotary positions and is pre-norm.
    const isEva02 = facts.swiglu && facts.subNorm;
    const rope = stated.rope ?? (isEva02 || hasTensor(ROPE_TABLE) || (reference?.rope ?? false));
    const layerScale = reference?.ls_init_value ?? LAYER_SCALE;
    return {
      ...transformerEvidence(facts, reference),
      ...(facts.poolsMean && !stated.global_average_pool && { pool_type: [] }),
      eva_model_name: [reference?.eva_model_name, "eva-clip"],
      qkv_bias: [facts.qkvBias],
      use_rms_norm: [facts.rmsNorm],
      subln: [facts.subNorm],
      naiveswiglu: [facts.swiglu],
      postnorm: [isEva02 ? false : reference?.postnorm],
      ls_init_value: [facts.layerScale ? layerScale : null],
      rope: [rope],
      ...(rope === true && { pt_hw_seq_len: [reference?.pt_hw_seq_len], intp_freq: [reference?.intp_freq] }),
    };
  },
};
