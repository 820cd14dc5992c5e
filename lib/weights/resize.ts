import { resizePatches, resizePositions } from "./interpolate";

/** How the values of a stored tensor become those of a parameter of another shape. */
export interface Resizing {
  readonly note: string;
  /** Rows beyond those of the file keep what the parameter holds. */
  readonly keepsRows: boolean;
  /** @param current what the parameter holds; given only where rows are kept */
  apply(stored: Float32Array, current?: Float32Array): Float32Array;
}

const IMAGE_POSITIONS = /^visual\.(pos_embed|positional_embedding)$/;
const TEXT_POSITIONS = /^(text\.)?positional_embedding$/;
const PATCHES = /^visual\.(patch_embed\.proj|conv1)\.weight$/;

/** A shape without its leading dimensions of 1, which layouts write or leave out. */
export function significant(shape: readonly number[]): readonly number[] {
  const first = shape.findIndex((size) => size !== 1);
  return first < 0 ? [] : shape.slice(first);
}

export function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return significant(a).join() === significant(b).join();
}

/** G of [1 + G², width]; undefined when the rows are not a class token and a square grid. */
export function gridOf(rows: number): number | undefined {
  const side = Math.sqrt(rows - 1);
  return Number.isInteger(side) && side > 0 ? side : undefined;
}

function resizePositionGrid(name: string, from: number, to: number): Resizing | undefined {
  const [source, target] = [gridOf(from), gridOf(to)];
  if (source === undefined || target === undefined) return undefined;
  // EVA-CLIP resizes its own embeddings between outer edges and CLIP's between centres of the corners.
  const alignCorners = name === "visual.positional_embedding";
  return {
    note: `grid ${source} × ${source} → ${target} × ${target}, bicubic${alignCorners ? ", corners aligned" : ""}`,
    keepsRows: false,
    apply: (stored) => resizePositions(stored, source, target, { alignCorners }),
  };
}

function changeContext(from: number, to: number, width: number): Resizing {
  if (to < from) {
    const apply = (stored: Float32Array) => stored.subarray(0, to * width);
    return { note: `context ${from} → ${to}: the first ${to} rows`, keepsRows: false, apply };
  }
  return {
    note: `context ${from} → ${to}: rows from ${from} on start fresh`,
    keepsRows: true,
    apply: (stored, current) => {
      const rows = Float32Array.from(current!);
      rows.set(stored);
      return rows;
    },
  };
}

/**
 * How a parameter [shape] takes a stored tensor [found] where only the grid, the patch size or the context differs;
 * undefined when more does. Trained rows of the text tower stay as they are, so that captions which fit either context
 * keep their embeddings.
 */
export function resizingOf(
  name: string,
  shape: readonly number[],
  found: readonly number[],
): Resizing | undefined {
  const [target, source] = [significant(shape), significant(found)];
  if (target.length !== source.length) return undefined;
  if (PATCHES.test(name)) {
    const [filters, channels, to] = target as [number, number, number];
    const [from, isSquare] = [source[2]!, source[2] === source[3]];
    if (!isSquare || source[0] !== filters || source[1] !== channels) return undefined;
    const note = `patches of ${from} → ${to} pixels, bicubic`;
    return { note, keepsRows: false, apply: (stored) => resizePatches(stored, from, to) };
  }
  const [rows, width] = target as [number, number];
  const [storedRows, storedWidth] = source as [number, number];
  if (width !== storedWidth) return undefined;
  if (IMAGE_POSITIONS.test(name)) return resizePositionGrid(name, storedRows, rows);
  return TEXT_POSITIONS.test(name) ? changeContext(storedRows, rows, width) : undefined;
}
