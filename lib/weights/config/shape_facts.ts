import type { ClipConfig } from "../../models/clip_config";
import type { AnyImageTower, ShapeReader } from "../../models/image_tower_descriptor";
import { imageTowerOf } from "../../models/image_towers";
import { hiddenWidth } from "../../models/mlp_width";
import {
  type PlacedRule,
  parameterOf,
  placeOf,
  rulesFor,
  type StoredLayout,
  variantIn,
} from "../layouts/layout";
import { gridOf } from "../resize";
import { invalidConfig } from "./config_fields";

/** The fields of a configuration that the names and shapes of a model's tensors determine. */
export interface ShapeFacts {
  readonly embedDim: number;
  readonly image: ImageFacts;
  readonly text: {
    readonly contextLength: number;
    readonly vocabulary: number;
    readonly layers: number;
    readonly width: number;
    readonly hidden: number;
  };
}

/** The facts of the image tower: its family, and that family's own facts. */
export interface ImageFacts {
  readonly tower: string;
  readonly facts: unknown;
}

/** The same fields, from a configuration. */
export function factsOfConfig(config: ClipConfig): ShapeFacts {
  const { embed_dim: embedDim, vision_cfg: vision, text_cfg: text } = config;
  const tower = imageTowerOf(vision);
  return {
    embedDim,
    image: { tower: tower.name, facts: tower.inference?.factsOf(vision) },
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

/** The shapes of a file, under the model's names. */
class NamedShapes implements ShapeReader {
  readonly variant: unknown;
  /** The prefix of the model's text tower names. */
  readonly text: string;
  private readonly rules: readonly PlacedRule[];

  constructor(
    private readonly path: string,
    private readonly tensors: StoredShapes,
    stored: StoredLayout,
    tower: AnyImageTower,
  ) {
    this.variant = variantIn(stored, (name) => tensors.has(name));
    this.text = tower.customText ? "text." : "";
    const naming = { text: this.text, storedText: stored.storedText };
    this.rules = rulesFor(stored.layout, tower, this.variant, naming);
  }

  has(name: string): boolean {
    return placeOf(name, this.rules)?.names.every((stored) => this.tensors.has(stored)) ?? false;
  }

  shape(name: string): readonly number[] {
    const place = placeOf(name, this.rules);
    const shapes = place?.names.map((stored) => this.tensors.get(stored)?.shape);
    if (!place || !shapes?.every((shape) => shape !== undefined)) {
      const where = place ? ` (as ${place.names.join(", ")})` : "";
      throw invalidConfig(
        `cannot infer the configuration of ${this.path}: it has no ${name}${where}; pass the configuration as config`,
        { path: this.path, missing: name },
      );
    }
    const first = place.transpose ? shapes[0]!.toReversed() : shapes[0]!;
    return shapes.length === 1 ? first : [first[0]! * shapes.length, ...first.slice(1)];
  }

  count(blocks: string): number {
    let count = 0;
    for (const stored of this.tensors.keys()) {
      const name = parameterOf(stored, this.rules)?.name;
      if (!name?.startsWith(`${blocks}.`)) continue;
      const index = Number(name.slice(blocks.length + 1).split(".", 1)[0]);
      if (Number.isInteger(index)) count = Math.max(count, index + 1);
    }
    return count;
  }

  grid(positions: string): number {
    const rows = this.shape(positions).at(-2) ?? 0;
    const grid = gridOf(rows, 1);
    if (grid !== undefined) return grid;
    const { path } = this;
    const message = `${path} has ${rows} position embeddings, which are not a class token and a square grid`;
    throw invalidConfig(message, { path, rows });
  }
}

/** The shapes of a file with an image tower that can be inferred. */
function shapesIn(tensors: StoredShapes, stored: StoredLayout, path: string) {
  const tower = stored.imageTower;
  if (!tower?.inference) {
    const problem = tower ? `of ${tower.title}` : "without an image tower";
    throw invalidConfig(
      `cannot infer the configuration of ${path}, a model ${problem}; pass the configuration as config`,
      { path },
    );
  }
  const shapes = new NamedShapes(path, tensors, stored, tower);
  return { shapes, image: { tower: tower.name, facts: tower.inference.factsIn(shapes) } };
}

/**
 * The facts of the image tower in a file.
 * @throws EvaClipError `ERR_EVACLIP_INVALID_CONFIG` when it has none
 */
export function imageFactsOfTensors(tensors: StoredShapes, stored: StoredLayout, path: string): ImageFacts {
  return shapesIn(tensors, stored, path).image;
}

/**
 * The facts of the model in a file.
 * @throws EvaClipError `ERR_EVACLIP_INVALID_CONFIG` when it does not hold a whole model
 */
export function factsOfTensors(tensors: StoredShapes, stored: StoredLayout, path: string): ShapeFacts {
  const { shapes, image } = shapesIn(tensors, stored, path);
  const { text } = shapes;
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
