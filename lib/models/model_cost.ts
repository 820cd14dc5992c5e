import { elementCount } from "../shape";
import type { Parameter } from "../parameter";
import type { TowerName } from "../parameter_role";
import type { ClipModel } from "./clip_model";

/** A quantity of each tower, and of the whole model. */
export interface PerTower {
  readonly image: number;
  readonly text: number;
  readonly total: number;
}

function elements(parameters: readonly Parameter[]): number {
  return parameters.reduce((sum, { size }) => sum + size, 0);
}

/** The number of parameters; the total includes the logit scale. */
export function parameterCounts(model: ClipModel): PerTower {
  return {
    image: elements(model.image.parameters()),
    text: elements(model.text.parameters()),
    total: elements(model.parameters()),
  };
}

/**
 * Multiplications of a tower, for N tokens of width C in L blocks: N for each weight of the blocks' matrices, 2 N² C L for
 * attention scores and their use, the projection of each patch, and the head of one row.
 */
function multiplications(all: readonly Parameter[], tower: TowerName): number {
  const parameters = all.filter(({ role }) => role?.tower === tower);
  const where = (fits: (parameter: Parameter) => boolean) => elements(parameters.filter(fits));
  const isMatrix = ({ shape }: Parameter) => shape.length > 1;
  const blocks = new Set(
    parameters.map(({ role }) => role?.layer).filter((layer) => typeof layer === "number"),
  );
  const positions = parameters.find(({ role }) => ["grid", "context"].includes(role?.resize?.kind ?? ""));
  const [tokens, width] = (positions?.shape.slice(-2) ?? [0, 0]) as [number, number];
  const grid = positions?.role?.resize;
  const patches = grid?.kind === "grid" ? tokens - grid.prefixTokens : 0;
  return (
    tokens * where((parameter) => typeof parameter.role?.layer === "number" && isMatrix(parameter)) +
    2 * elementCount([tokens, tokens, width, blocks.size]) +
    patches * where(({ role }) => role?.resize?.kind === "patches") +
    where((parameter) => parameter.role?.layer === "head" && isMatrix(parameter))
  );
}

/**
 * GFLOPs of the forward pass of one image and of one caption of full length: two for each multiplication and addition of
 * the matrix products, all tokens through all blocks (the convention of open_clip's docs/model_profile.csv).
 */
export function forwardGflops(model: ClipModel): PerTower {
  const all = model.parameters();
  const image = (2 * multiplications(all, "image")) / 1e9;
  const text = (2 * multiplications(all, "text")) / 1e9;
  return { image, text, total: image + text };
}
