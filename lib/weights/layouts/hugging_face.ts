import { blockRules, type Layout, type Naming, type Rule } from "./layout";

const IMAGE = "vision_model";
const TEXT = "text_model";

const projections = (kind: "weight" | "bias") =>
  ["q", "k", "v"].map((part) => `self_attn.${part}_proj.${kind}`);

/** The blocks of OpenAI's towers; transformers splits their packed projections. */
function residualBlocks(ours: string, stored: string): Rule[] {
  return blockRules(`${ours}transformer.resblocks`, `${stored}.encoder.layers`, [
    ["attn.in_proj_weight", projections("weight")],
    ["attn.in_proj_bias", projections("bias")],
    ["attn.out_proj", "self_attn.out_proj"],
    ["ln_1", "layer_norm1"],
    ["ln_2", "layer_norm2"],
    ["mlp.c_fc", "mlp.fc1"],
    ["mlp.c_proj", "mlp.fc2"],
  ]);
}

function clipTower(): Rule[] {
  return [
    { ours: "visual.class_embedding", stored: `${IMAGE}.embeddings.class_embedding` },
    { ours: "visual.positional_embedding", stored: `${IMAGE}.embeddings.position_embedding.weight` },
    { ours: "visual.conv1", stored: `${IMAGE}.embeddings.patch_embedding` },
    // transformers has misspelt this name since its first CLIP, and every file has it.
    { ours: "visual.ln_pre", stored: `${IMAGE}.pre_layrnorm` },
    { ours: "visual.ln_post", stored: `${IMAGE}.post_layernorm` },
    { ours: "visual.proj", stored: "visual_projection.weight", transpose: true },
    ...residualBlocks("visual.", IMAGE),
  ];
}

function evaTower({ separate, swiglu }: Naming): Rule[] {
  return [
    { ours: "visual.cls_token", stored: `${IMAGE}.embeddings.class_embedding`, rank: 1 },
    { ours: "visual.pos_embed", stored: `${IMAGE}.embeddings.position_embedding.weight`, rank: 2 },
    { ours: "visual.patch_embed.proj", stored: `${IMAGE}.embeddings.patch_embedding` },
    { ours: "visual.norm", stored: `${IMAGE}.post_layernorm` },
    { ours: "visual.head", stored: "visual_projection" },
    ...blockRules("visual.blocks", `${IMAGE}.encoder.layers`, [
      ["attn.q_bias", "self_attn.q_proj.bias"],
      ["attn.v_bias", "self_attn.v_proj.bias"],
      ...(separate ? [] : [["attn.qkv.weight", projections("weight")] as const]),
      ["attn.proj", "self_attn.out_proj"],
      ["attn", "self_attn"],
      ["norm1", "layer_norm1"],
      ["norm2", "layer_norm2"],
      ...(swiglu
        ? ([
            ["mlp.w1", "mlp.fc1"],
            ["mlp.w2", "mlp.fc2"],
            ["mlp.w3", "mlp.fc3"],
          ] as const)
        : []),
      ["mlp", "mlp"],
    ]),
  ];
}

function textTower(ours: string): Rule[] {
  return [
    { ours: `${ours}positional_embedding`, stored: `${TEXT}.embeddings.position_embedding.weight` },
    { ours: `${ours}token_embedding`, stored: `${TEXT}.embeddings.token_embedding` },
    { ours: `${ours}ln_final`, stored: `${TEXT}.final_layer_norm` },
    { ours: `${ours}text_projection`, stored: "text_projection.weight", transpose: true },
    ...residualBlocks(ours, TEXT),
  ];
}

/** transformers' CLIPModel, and the EVA-CLIP models published in its manner (BAAI/EVA-CLIP-8B). */
export const huggingFace: Layout = {
  name: "hugging_face",
  landmarks: {
    image: [`${IMAGE}.embeddings.class_embedding`, `${IMAGE}.embeddings.position_embedding.weight`],
    texts: [[`${TEXT}.embeddings.token_embedding.weight`, `${TEXT}.final_layer_norm.weight`]],
  },
  // Only the plain towers have a norm before the first block.
  imageFamily: (has) => (has(`${IMAGE}.pre_layrnorm.weight`) ? "clip" : "eva"),
  rules: (naming) => [
    ...(naming.image === "eva" ? evaTower(naming) : clipTower()),
    ...textTower(naming.text),
    { ours: "logit_scale", stored: "logit_scale" },
  ],
};
