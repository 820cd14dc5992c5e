import type { ImageTowerDescriptor } from "../image_tower_descriptor";
import { hiddenWidth } from "../mlp_width";
import { huggingFaceBlocks, unchanged } from "../name_rules";
import { CLIP_EPS } from "../residual_block";
import {
  transformerEvidence,
  transformerFactsIn,
  transformerFactsOf,
  type VisionTransformerFacts,
} from "../vision_transformer_facts";
import { ClipImageTower } from "./clip_image_tower";
import { type ClipTowerConfig, clipTowerSchema } from "./clip_tower_config";

const HF = "vision_model";

const huggingFaceRules = [
  { ours: "visual.class_embedding", stored: `${HF}.embeddings.class_embedding` },
  { ours: "visual.positional_embedding", stored: `${HF}.embeddings.position_embedding.weight` },
  { ours: "visual.conv1", stored: `${HF}.embeddings.patch_embedding` },
  // Misspelled in transformers since its first CLIP, and in every file.
  { ours: "visual.ln_pre", stored: `${HF}.pre_layrnorm` },
  { ours: "visual.ln_post", stored: `${HF}.post_layernorm` },
  { ours: "visual.proj", stored: "visual_projection.weight", transpose: true },
  ...huggingFaceBlocks("visual.", HF),
];

/** OpenAI CLIP's vision transformer: every tower that matches no other family. */
export const clipImageTower: ImageTowerDescriptor<ClipTowerConfig, undefined, VisionTransformerFacts> = {
  name: "clip",
  title: "a plain image tower",
  matches: () => true,
  schema: clipTowerSchema,
  build: (config, options) => new ClipImageTower(config, options),
  customText: false,
  ownLayout: "openai",
  layouts: {
    // Read as openai, whose names these are.
    open_clip: { rules: () => unchanged("visual"), writable: true },
    openai: {
      landmarks: [
        "visual.class_embedding",
        "visual.positional_embedding",
        "visual.conv1.weight",
        "visual.proj",
      ],
      rules: () => unchanged("visual"),
      writable: true,
    },
    hugging_face: {
      // Only plain towers have a norm before the first block.
      landmarks: [
        `${HF}.embeddings.class_embedding`,
        `${HF}.embeddings.position_embedding.weight`,
        `${HF}.pre_layrnorm.weight`,
      ],
      rules: () => huggingFaceRules,
      writable: true,
    },
  },
  inference: {
    factsOf: transformerFactsOf,
    factsIn: (shapes) =>
      transformerFactsIn(shapes, {
        patches: "visual.conv1.weight",
        positions: "visual.positional_embedding",
        blocks: "visual.transformer.resblocks",
        mlp: "mlp.c_fc.weight",
      }),
    resembles: (facts, published) => facts.width === published.width,
    evidence: (facts, { reference }) => transformerEvidence(facts, reference),
  },
  huggingFace: {
    layerNormEps: CLIP_EPS,
    defaultQuickGelu: true,
    visionConfig: (config) => ({
      model_type: "clip_vision_model",
      hidden_size: config.width,
      intermediate_size: hiddenWidth(config),
      num_hidden_layers: config.layers,
      num_attention_heads: config.width / config.head_width,
      image_size: config.image_size,
      patch_size: config.patch_size,
      num_channels: 3,
    }),
  },
  openClip: {
    visionConfig: ({ layers, width, head_width, mlp_ratio, patch_size }) => ({
      layers,
      width,
      head_width,
      mlp_ratio,
      patch_size,
    }),
  },
};
