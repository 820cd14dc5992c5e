import { blockRules, type Layout, type Naming, type Rule } from "./layout";

/** An EVA image tower under timm's names, below `trunk` (timm/models/eva.py, version 1.0). */
export function timmTower(trunk: string, { separate, swiglu }: Naming): Rule[] {
  const blocks = trunk === "" ? "blocks" : `${trunk}.blocks`;
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
    ...blockRules("visual.blocks", blocks, [
      ...(separate ? biases : []),
      ["attn.inner_attn_ln", "attn.norm"],
      ["mlp.ffn_ln", "mlp.norm"],
      ...(swiglu ? gated : []),
    ]),
    { ours: "visual", stored: trunk },
  ];
}

/** An image tower as timm saves it alone. Where it has no SwiGLU its names are those of `eva_mim`. */
export const timm: Layout = {
  name: "timm",
  landmarks: { image: ["cls_token", "pos_embed", "patch_embed.proj.weight", "blocks.0.mlp.fc1_g.weight"] },
  imageFamily: () => "eva",
  rules: (naming) => timmTower("", naming),
};
