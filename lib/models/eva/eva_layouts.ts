import type { HasParameter, ImageTowerLayout } from "../image_tower_descriptor";
import { blockRules, type NameRule, splitProjections, unchanged } from "../name_rules";
import { ropeTables } from "./eva_rope_tables";
import type { EvaTowerConfig } from "./eva_tower_config";

/** The properties that determine the parameter names of an EVA tower. */
export interface EvaVariant {
  /** Separate matrices for queries, keys and values (EVA-02) instead of a packed one. */
  readonly separate: boolean;
  /** The MLP is a SwiGLU. */
  readonly swiglu: boolean;
}

export const evaVariant = {
  of: ({ subln, naiveswiglu }: EvaTowerConfig): EvaVariant => ({ separate: subln, swiglu: naiveswiglu }),
  in: (has: HasParameter<EvaVariant>): EvaVariant => {
    const likely = { separate: true, swiglu: true };
    const hasAll = (...parts: string[]) =>
      parts.every((part) => has(`visual.blocks.0.${part}.weight`, likely));
    return { separate: hasAll("attn.inner_attn_ln"), swiglu: hasAll("mlp.w1", "mlp.w3") };
  },
};

/** timm's names, below `trunk` (timm/models/eva.py, version 1.0). */
function timmRules(trunk: string, { separate, swiglu }: EvaVariant): NameRule[] {
  const biases = [
    ["attn.q_bias", "attn.q_proj.bias"],
    ["attn.v_bias", "attn.v_proj.bias"],
  ] as const;
  const gated = [
    ["mlp.w1", "mlp.fc1_g"],
    ["mlp.w2", "mlp.fc1_x"],
    ["mlp.w3", "mlp.fc2"],
  ] as const;
  return [
    ...blockRules("visual.blocks", trunk === "" ? "blocks" : `${trunk}.blocks`, [
      ...(separate ? biases : []),
      ["attn.inner_attn_ln", "attn.norm"],
      ["mlp.ffn_ln", "mlp.norm"],
      ...(swiglu ? gated : []),
    ]),
    { ours: "visual", stored: trunk },
  ];
}

const HF = "vision_model";

/** The names of BAAI/EVA-CLIP-8B, in transformers' manner. */
function huggingFaceRules({ separate, swiglu }: EvaVariant): NameRule[] {
  const gated = [
    ["mlp.w1", "mlp.fc1"],
    ["mlp.w2", "mlp.fc2"],
    ["mlp.w3", "mlp.fc3"],
  ] as const;
  return [
    { ours: "visual.cls_token", stored: `${HF}.embeddings.class_embedding`, rank: 1 },
    { ours: "visual.pos_embed", stored: `${HF}.embeddings.position_embedding.weight`, rank: 2 },
    { ours: "visual.patch_embed.proj", stored: `${HF}.embeddings.patch_embedding` },
    { ours: "visual.norm", stored: `${HF}.post_layernorm` },
    { ours: "visual.head", stored: "visual_projection" },
    ...blockRules("visual.blocks", `${HF}.encoder.layers`, [
      ["attn.q_bias", "self_attn.q_proj.bias"],
      ["attn.v_bias", "self_attn.v_proj.bias"],
      ...(separate ? [] : [["attn.qkv.weight", splitProjections("weight")] as const]),
      ["attn.proj", "self_attn.out_proj"],
      ["attn", "self_attn"],
      ["norm1", "layer_norm1"],
      ["norm2", "layer_norm2"],
      ...(swiglu ? gated : []),
      ["mlp", "mlp"],
    ]),
  ];
}

export const evaLayouts: Record<string, ImageTowerLayout<EvaTowerConfig, EvaVariant>> = {
  eva_clip: {
    landmarks: ["visual.cls_token", "visual.pos_embed", "visual.blocks.0.attn.proj.weight"],
    rules: () => unchanged("visual"),
    writable: true,
    derived: ropeTables,
  },
  open_clip: {
    landmarks: ["cls_token", "pos_embed", "patch_embed.proj.weight", "blocks.0.attn.proj.weight"].map(
      (name) => `visual.trunk.${name}`,
    ),
    rules: (variant) => timmRules("visual.trunk", variant),
    writable: true,
  },
  hugging_face: {
    landmarks: [`${HF}.embeddings.class_embedding`, `${HF}.embeddings.position_embedding.weight`],
    rules: huggingFaceRules,
  },
  // Without a SwiGLU the names of timm's towers are those of eva_mim.
  timm: {
    landmarks: ["cls_token", "pos_embed", "patch_embed.proj.weight", "blocks.0.mlp.fc1_g.weight"],
    rules: (variant) => timmRules("", variant),
  },
  eva_mim: {
    landmarks: ["cls_token", "pos_embed", "patch_embed.proj.weight", "blocks.0.attn.proj.weight"],
    rules: () => [{ ours: "visual", stored: "" }],
  },
};
