import { createHash } from "node:crypto";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { ART_MODULES, ensureArt, installedVersion } from "./art";
import { type Concept, loadConcepts } from "./concepts";
import { type Drawings, rasterizeStyle } from "./rasterize";
import type { Style } from "./styles";

/** Side of every stored drawing, in pixels. */
export const DRAWING_SIZE = 64;

/** Bytes of one stored drawing: straight-alpha RGBA. */
export const DRAWING_BYTES = DRAWING_SIZE * DRAWING_SIZE * 4;

/** The concept and style of a drawing. */
export interface Drawing {
  concept: number;
  style: string;
}

/** Every concept in every installed style. */
export interface DataSet {
  concepts: readonly Concept[];
  styles: readonly string[];
  /** One entry per image, grouped by style. */
  drawings: readonly Drawing[];
  /** u8 [drawings.length, 64, 64, 4], straight alpha. */
  pixels: Uint8Array;
  /** A digest of everything that the pixels depend on. */
  version: string;
}

/** Called before a style is rasterized, which takes about a second. */
export type DrawingStarted = (style: Style) => void;

/**
 * Loads the emoji data set; the first time, it installs the packages and rasterizes the drawings.
 *
 * @param cacheFolder cache of rasterized styles, one folder per style and version
 * @throws EvaClipError `ERR_EVACLIP_IO` when the packages cannot be installed
 */
export async function loadDataSet(
  cacheFolder: string,
  allStyles: boolean,
  onDraw: DrawingStarted,
): Promise<DataSet> {
  const styles = ensureArt(allStyles);
  const concepts = loadConcepts(ART_MODULES);
  const parts: { style: string; drawn: Drawings }[] = [];
  for (const style of styles) {
    const folder = join(cacheFolder, `${style.name}-${versionOf(style)}`);
    let drawn = await readDrawings(folder);
    if (!drawn) {
      onDraw(style);
      drawn = await rasterizeStyle(style, concepts, ART_MODULES, DRAWING_SIZE);
      await storeDrawings(folder, drawn);
    }
    parts.push({ style: style.name, drawn });
  }
  return joinStyles(concepts, parts, digest(styles.map(versionOf)));
}

/** Joins the drawings of several styles into one data set. */
export function joinStyles(
  concepts: readonly Concept[],
  parts: readonly { style: string; drawn: Drawings }[],
  version: string,
): DataSet {
  const drawings = parts.flatMap(({ style, drawn }) => drawn.concepts.map((concept) => ({ concept, style })));
  const pixels = new Uint8Array(parts.reduce((total, { drawn }) => total + drawn.pixels.length, 0));
  let offset = 0;
  for (const { drawn } of parts) {
    pixels.set(drawn.pixels, offset);
    offset += drawn.pixels.length;
  }
  return { concepts, styles: parts.map(({ style }) => style), drawings, pixels, version };
}

/** A digest of everything that a style's pixels depend on, except this folder's code. */
function versionOf(style: Style): string {
  const packages = [style.package, style.codePointsFrom, "emojibase-data"].filter(
    (name) => name !== undefined,
  );
  return digest([
    ...packages.map((name) => `${name}@${installedVersion(name)}`),
    sharp.versions,
    DRAWING_SIZE,
  ]);
}

function digest(of: unknown): string {
  return createHash("sha256").update(JSON.stringify(of)).digest("hex").slice(0, 12);
}

/** Cached drawings; undefined if there are none or they are incomplete. */
async function readDrawings(folder: string): Promise<Drawings | undefined> {
  try {
    const concepts = JSON.parse(await readFile(join(folder, "concepts.json"), "utf8")) as number[];
    const pixels = await readFile(join(folder, "pixels.rgba"));
    return pixels.length === concepts.length * DRAWING_BYTES ? { concepts, pixels } : undefined;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT" || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** Writes to a temporary folder and renames it, so that an interrupted demo leaves no incomplete cache. */
async function storeDrawings(folder: string, drawn: Drawings): Promise<void> {
  const unfinished = `${folder}.${process.pid}`;
  await mkdir(unfinished, { recursive: true });
  await writeFile(join(unfinished, "pixels.rgba"), drawn.pixels);
  await writeFile(join(unfinished, "concepts.json"), JSON.stringify(drawn.concepts));
  await rm(folder, { recursive: true, force: true });
  await rename(unfinished, folder);
}
