import type { FieldEvidence, ShapeReader } from "./image_tower_descriptor";
import { hiddenWidth, mlpRatio } from "./mlp_width";
import { usualHeadWidth } from "./usual_heads";

/** The fields of any vision transformer that names and shapes determine. */
export interface VisionTransformerFacts {
  readonly imageSize: number;
  readonly patchSize: number;
  readonly layers: number;
  readonly width: number;
  /** Of the MLP. */
  readonly hidden: number;
}

interface VisionTransformerConfig {
  image_size: number;
  patch_size: number;
  layers: number;
  width: number;
  mlp_ratio: number;
}

export function transformerFactsOf(config: VisionTransformerConfig): VisionTransformerFacts {
  const { image_size: imageSize, patch_size: patchSize, layers, width } = config;
  return { imageSize, patchSize, layers, width, hidden: hiddenWidth(config) };
}

/** The same from a file, given the names of its tensors; `mlp` is the first projection of an MLP, below a block. */
export function transformerFactsIn(
  shapes: ShapeReader,
  names: Record<"patches" | "positions" | "blocks" | "mlp", string>,
): VisionTransformerFacts {
  const patches = shapes.shape(names.patches); // [width, 3, P, P]
  return {
    imageSize: shapes.grid(names.positions) * patches[3]!,
    patchSize: patches[3]!,
    layers: shapes.count(names.blocks),
    width: patches[0]!,
    hidden: shapes.shape(`${names.blocks}.0.${names.mlp}`)[0]!,
  };
}

export function transformerEvidence(
  facts: VisionTransformerFacts,
  reference: { head_width: number } | undefined,
): FieldEvidence {
  return {
    image_size: [facts.imageSize],
    patch_size: [facts.patchSize],
    layers: [facts.layers],
    width: [facts.width],
    mlp_ratio: [mlpRatio(facts.hidden, facts.width)],
    head_width: [reference?.head_width, usualHeadWidth(facts.width)],
  };
}
