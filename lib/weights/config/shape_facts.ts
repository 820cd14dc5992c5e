import type { ClipConfig } from "../../models/clip_config";
import { hiddenWidth, invalidConfig } from "./config_fields";
import { type Naming, parameterOf, placeOf, type Rule, type StoredLayout } from "../layouts/layout";
import { gridOf } from "../resize";

/** What the names and shapes of a model's tensors tell of its configuration. */
export interface ShapeFacts {
  readonly embedDim: number;
  readonly image: {
    readonly isEva: boolean;
    readonly imageSize: number;
    readonly patchSize: number;
    readonly layers: number;
    readonly width: number;
    readonly hidden: number;
    readonly qkvBias: boolean;
    readonly subNorm: boolean;
    readonly swiglu: boolean;
    readonly rmsNorm: boolean;
    readonly layerScale: boolean;
    /** The mean of the tokens is pooled, not the class token. */
    readonly poolsMean: boolean;
  };
  readonly text: {
    readonly contextLength: number;
    readonly vocabulary: number;
    readonly layers: number;
    readonly width: number;
    readonly hidden: number;
  };
}

export function factsOfConfig(config: ClipConfig): ShapeFacts {
  const { embed_dim: embedDim, vision_cfg: vision, text_cfg: text } = config;
  return {
    embedDim,
    image: {
      isEva: vision.eva_model_name !== undefined,
      imageSize: vision.image_size,
      patchSize: vision.patch_size,
      layers: vision.layers,
      width: vision.width,
      hidden: hiddenWidth(vision),
      qkvBias: vision.qkv_bias,
      subNorm: vision.subln,
      swiglu: vision.naiveswiglu,
      rmsNorm: vision.use_rms_norm,
      layerScale: Boolean(vision.ls_init_value),
      poolsMean: vision.global_average_pool || vision.pool_type === "avg",
    },
    text: {
      contextLength: text.context_length,
      vocabulary: text.vocab_size,
      layers: text.layers,
      width: text.width,
      hidden: hiddenWidth(text),
    },
  };
}

export type StoredShapes = ReadonlyMap<string, { readonly shape: readonly number[] }>;

/** The shapes of a file, by the names that the model has for them. */
class NamedShapes {
  readonly naming: Naming;
  private readonly rules: readonly Rule[];

  constructor(
    private readonly path: string,
    private readonly tensors: StoredShapes,
    { layout, storedText }: StoredLayout,
  ) {
    const image = layout.imageFamily((name) => tensors.has(name));
    const text = image === "eva" ? "text." : "";
    const likely = { image, separate: true, swiglu: true, text, storedText };
    const has = (name: string) => this.isStored(name, layout.rules(likely));
    const swiglu = has("visual.blocks.0.mlp.w1.weight") && has("visual.blocks.0.mlp.w3.weight");
    this.naming = { ...likely, separate: has("visual.blocks.0.attn.inner_attn_ln.weight"), swiglu };
    this.rules = layout.rules(this.naming);
  }

  has(name: string): boolean {
    return this.isStored(name, this.rules);
  }

  /** The shape of a parameter, put together from its shares. */
  shape(name: string): readonly number[] {
    const place = placeOf(name, this.rules);
    const shapes = place?.names.map((stored) => this.tensors.get(stored)?.shape);
    if (!place || !shapes?.every((shape) => shape !== undefined)) {
      const where = place ? ` (as ${place.names.join(", ")})` : "";
      throw invalidConfig(
        `${this.path} does not tell what model it is: it has no ${name}${where}; give the configuration as config`,
        { path: this.path, missing: name },
      );
    }
    const first = place.transpose ? shapes[0]!.toReversed() : shapes[0]!;
    return shapes.length === 1 ? first : [first[0]! * shapes.length, ...first.slice(1)];
  }

  /** How many blocks there are below a name. */
  count(blocks: string): number {
    let count = 0;
    for (const stored of this.tensors.keys()) {
      const name = parameterOf(stored, this.rules);
      if (!name?.startsWith(`${blocks}.`)) continue;
      const index = Number(name.slice(blocks.length + 1).split(".", 1)[0]);
      if (Number.isInteger(index)) count = Math.max(count, index + 1);
    }
    return count;
  }

  private isStored(name: string, rules: readonly Rule[]): boolean {
    return placeOf(name, rules)?.names.every((stored) => this.tensors.has(stored)) ?? false;
  }
}

function imageFacts(shapes: NamedShapes, path: string): ShapeFacts["image"] {
  const isEva = shapes.naming.image === "eva";
  const { swiglu, separate: subNorm } = shapes.naming;
  const patches = shapes.shape(isEva ? "visual.patch_embed.proj.weight" : "visual.conv1.weight");
  const [width, patchSize] = [patches[0]!, patches[3]!];
  const rows = shapes.shape(isEva ? "visual.pos_embed" : "visual.positional_embedding").at(-2) ?? 0;
  const grid = gridOf(rows);
  if (grid === undefined) {
    throw invalidConfig(
      `${path} has ${rows} position embeddings, which are not a class token and a square grid`,
      { path, rows },
    );
  }
  const blocks = isEva ? "visual.blocks" : "visual.transformer.resblocks";
  const hidden = isEva ? (swiglu ? "mlp.w1" : "mlp.fc1") : "mlp.c_fc";
  return {
    isEva,
    imageSize: grid * patchSize,
    patchSize,
    layers: shapes.count(blocks),
    width,
    hidden: shapes.shape(`${blocks}.0.${hidden}.weight`)[0]!,
    qkvBias: !isEva || shapes.has(`${blocks}.0.attn.q_bias`),
    subNorm,
    swiglu,
    rmsNorm: isEva && !shapes.has(`${blocks}.0.norm1.bias`),
    layerScale: shapes.has(`${blocks}.0.gamma_1`),
    poolsMean: shapes.has("visual.fc_norm.weight"),
  };
}

/**
 * What the names and shapes of a file tell of its image tower.
 * @throws EvaClipError `ERR_EVACLIP_INVALID_CONFIG` when it holds none
 */
export function imageFactsOfTensors(
  tensors: StoredShapes,
  stored: StoredLayout,
  path: string,
): ShapeFacts["image"] {
  return imageFacts(new NamedShapes(path, tensors, stored), path);
}

/**
 * What the names and shapes of a file tell of its model's configuration.
 * @throws EvaClipError `ERR_EVACLIP_INVALID_CONFIG` when it holds no whole model
 */
export function factsOfTensors(tensors: StoredShapes, stored: StoredLayout, path: string): ShapeFacts {
  const shapes = new NamedShapes(path, tensors, stored);
  const { text } = shapes.naming;
  const image = imageFacts(shapes, path);
  const [contextLength] = shapes.shape(`${text}positional_embedding`) as [number];
  const [vocabulary, width] = shapes.shape(`${text}token_embedding.weight`) as [number, number];
  const blocks = `${text}transformer.resblocks`;
  return {
    embedDim: shapes.shape(`${text}text_projection`)[1]!,
    image,
    text: {
      contextLength,
      vocabulary,
      layers: shapes.count(blocks),
      width,
      hidden: shapes.shape(`${blocks}.0.mlp.c_fc.weight`)[0]!,
    },
  };
}
