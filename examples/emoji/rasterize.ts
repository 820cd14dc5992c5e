import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { type Concept, plainHexcode } from "./concepts";
import type { Style } from "./styles";

/** One style's drawings, one straight-alpha RGBA image per entry of `concepts`. */
export interface Drawings {
  /** Indices into the concept list, ascending. */
  concepts: number[];
  /** u8 [concepts.length, size, size, 4] */
  pixels: Uint8Array;
}

/** The source of a drawing: SVG text or an image file. */
interface Source {
  concept: number;
  input: Buffer | string;
}

interface IconSet {
  width?: number;
  height?: number;
  icons: Record<string, Icon>;
  aliases?: Record<string, { parent: string }>;
}

interface Icon {
  body: string;
  left?: number;
  top?: number;
  width?: number;
  height?: number;
}

const IN_FLIGHT = 32;
const TRANSPARENT = { r: 0, g: 0, b: 0, alpha: 0 };

/**
 * Rasterizes every concept of a style.
 *
 * @param modules the `node_modules` folder with the style's package
 * @param size side in pixels
 */
export async function rasterizeStyle(
  style: Style,
  concepts: readonly Concept[],
  modules: string,
  size: number,
): Promise<Drawings> {
  const sources =
    style.format === "webp"
      ? webpSources(style, concepts, modules)
      : iconifySources(style, concepts, modules, size);
  const bytes = size * size * 4;
  const pixels = new Uint8Array(sources.length * bytes);
  for (let start = 0; start < sources.length; start += IN_FLIGHT) {
    const part = sources.slice(start, start + IN_FLIGHT);
    const drawn = await Promise.all(part.map(({ input }) => draw(input, size)));
    drawn.forEach((image, i) => {
      pixels.set(image, (start + i) * bytes);
    });
  }
  return { concepts: sources.map(({ concept }) => concept), pixels };
}

/** RGBA bytes of one drawing; keeps the aspect ratio. */
function draw(input: Buffer | string, size: number): Promise<Buffer> {
  return sharp(input, { density: 72 })
    .resize(size, size, { fit: "contain", background: TRANSPARENT })
    .ensureAlpha()
    .toColourspace("srgb")
    .raw()
    .toBuffer();
}

/** The icons of an iconify set, looked up by code point, then by name. */
function iconifySources(style: Style, concepts: readonly Concept[], modules: string, size: number): Source[] {
  const set = readJson(join(modules, style.package, "icons.json")) as IconSet;
  const namesByHexcode = iconNames(join(modules, style.codePointsFrom ?? style.package, "chars.json"));
  const used = new Set<string>();
  return concepts.flatMap((concept, index) => {
    const candidates = [namesByHexcode.get(plainHexcode(concept.hexcode)), concept.slug];
    if (style.name === "fxemoji") candidates.push(concept.slug.replaceAll("-", ""));
    const name = candidates.map((candidate) => resolveAlias(set, candidate)).find(Boolean);
    if (!name || used.has(name)) return [];
    used.add(name);
    return { concept: index, input: Buffer.from(svgOf(set, set.icons[name]!, size)) };
  });
}

function iconNames(charsFile: string): Map<string, string> {
  const chars = existsSync(charsFile) ? (readJson(charsFile) as Record<string, string>) : {};
  return new Map(Object.entries(chars).map(([hexcode, name]) => [plainHexcode(hexcode), name]));
}

/** The icon that `name` refers to, directly or through the set's aliases. */
function resolveAlias(set: IconSet, name: string | undefined): string | undefined {
  const visited = new Set<string>();
  let current = name;
  while (current !== undefined && !set.icons[current]) {
    if (visited.has(current)) return undefined;
    visited.add(current);
    current = set.aliases?.[current]?.parent;
  }
  return current;
}

/** An SVG document of an icon, padded to a square. */
function svgOf(set: IconSet, icon: Icon, size: number): string {
  const width = icon.width ?? set.width ?? 16;
  const height = icon.height ?? set.height ?? 16;
  const side = Math.max(width, height);
  const left = (icon.left ?? 0) - (side - width) / 2;
  const top = (icon.top ?? 0) - (side - height) / 2;
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" ` +
    `width="${size}" height="${size}" viewBox="${left} ${top} ${side} ${side}">${icon.body}</svg>`
  );
}

/** Image files named by code point. */
function webpSources(style: Style, concepts: readonly Concept[], modules: string): Source[] {
  const folder = join(modules, style.package, "assets");
  const files = readdirSync(folder).filter((file) => file.endsWith(".webp"));
  const byHexcode = new Map(files.map((file) => [plainHexcode(file.slice(0, -".webp".length)), file]));
  return concepts.flatMap((concept, index) => {
    const file = byHexcode.get(plainHexcode(concept.hexcode));
    return file ? { concept: index, input: join(folder, file) } : [];
  });
}

function readJson(path: string): unknown {
  return JSON.parse(readFileSync(path, "utf8"));
}
