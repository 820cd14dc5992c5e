import type { ImageTowerDescriptor } from "../image_tower_descriptor";
import { hiddenWidth, mlpRatio } from "../mlp_width";
import { huggingFaceBlocks, unchanged } from "../name_rules";
import { CLIP_EPS } from "../residual_block";
import { usualHeadWidth } from "../usual_heads";
import { ClipImageTower } from "./clip_image_tower";
import { type ClipTowerConfig, clipTowerSchema } from "./clip_tower_config";

/** The fields of a plain tower that names and shapes determine. */
interface ClipFacts {
  readonly imageSize: number;
  readonly patchSize: number;
  readonly layers: number;
  readonly width: number;
  readonly hidden: number;
}

const BLOCKS = "visual.transformer.resblocks";
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
export const clipImageTower: ImageTowerDescriptor<ClipTowerConfig, undefined, ClipFacts> = {
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
    factsOf: (config) => ({
      imageSize: config.image_size,
      patchSize: config.patch_size,
      layers: config.layers,
      width: config.width,
      hidden: hiddenWidth(config),
    }),
    factsIn: (shapes) => {
      const patches = shapes.shape("visual.conv1.weight");
      return {
        imageSize: shapes.grid("visual.positional_embedding") * patches[3]!,
        patchSize: patches[3]!,
        layers: shapes.count(BLOCKS),
        width: patches[0]!,
        hidden: shapes.shape(`${BLOCKS}.0.mlp.c_fc.weight`)[0]!,
      };
    },
    resembles: (facts, published) => facts.width === published.width,
    evidence: (facts, { reference }) => ({
      image_size: [facts.imageSize],
      patch_size: [facts.patchSize],
      layers: [facts.layers],
      width: [facts.width],
      mlp_ratio: [mlpRatio(facts.hidden, facts.width)],
      head_width: [reference?.head_width, usualHeadWidth(facts.width)],
    }),
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
