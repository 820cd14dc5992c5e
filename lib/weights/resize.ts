import type { Parameter } from "../parameter";
import type { ResizeRule } from "../parameter_role";
import { resizePatches, resizePositions } from "./interpolate";

/** Resizes the values of a stored tensor for a parameter with a different shape. */
export interface Resizing {
  readonly note: string;
  /** Rows beyond those of the file keep the parameter's values. */
  readonly keepsRows: boolean;
  /** @param current the parameter's values; given only where rows are kept */
  apply(stored: Float32Array, current?: Float32Array): Float32Array;
}

/** A shape without its leading dimensions of 1, which some layouts omit. */
export function significant(shape: readonly number[]): readonly number[] {
  const first = shape.findIndex((size) => size !== 1);
  return first < 0 ? [] : shape.slice(first);
}

export function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return significant(a).join() === significant(b).join();
}

/** G of [prefixTokens + G², width]; undefined when the other rows are not a square grid. */
export function gridOf(rows: number, prefixTokens: number): number | undefined {
  const side = Math.sqrt(rows - prefixTokens);
  return Number.isInteger(side) && side > 0 ? side : undefined;
}

function resizeGrid(
  { prefixTokens, alignCorners = false }: Extract<ResizeRule, { kind: "grid" }>,
  from: number,
  to: number,
): Resizing | undefined {
  const [source, target] = [gridOf(from, prefixTokens), gridOf(to, prefixTokens)];
  if (source === undefined || target === undefined) return undefined;
  return {
    note: `grid ${source} × ${source} → ${target} × ${target}, bicubic${alignCorners ? ", corners aligned" : ""}`,
    keepsRows: false,
    apply: (stored) => resizePositions(stored, source, target, { prefixTokens, alignCorners }),
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

function resizeProjection(target: readonly number[], source: readonly number[]): Resizing | undefined {
  const [filters, channels, to] = target as [number, number, number];
  const [from, isSquare] = [source[2]!, source[2] === source[3]];
  if (!isSquare || source[0] !== filters || source[1] !== channels) return undefined;
  const note = `patches of ${from} → ${to} pixels, bicubic`;
  return { note, keepsRows: false, apply: (stored) => resizePatches(stored, from, to) };
}

/**
 * The resizing of a tensor [found] for a parameter stored as [shape] if they differ only in the grid, the patch size or the
 * context length; otherwise undefined. Trained text positions are unchanged, so that captions that fit both context lengths
 * keep their embeddings.
 */
export function resizingOf(
  { role }: Pick<Parameter, "role">,
  shape: readonly number[],
  found: readonly number[],
): Resizing | undefined {
  const rule = role?.resize;
  const [target, source] = [significant(shape), significant(found)];
  if (rule === undefined || target.length !== source.length) return undefined;
  if (rule.kind === "patches") return resizeProjection(target, source);
  const [rows, width] = target as [number, number];
  const [storedRows, storedWidth] = source as [number, number];
  if (width !== storedWidth) return undefined;
  return rule.kind === "grid" ? resizeGrid(rule, storedRows, rows) : changeContext(storedRows, rows, width);
}
