import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type ClipConfigInput, type Device, EvaClip } from "../../lib";
import { openSafetensors } from "../../lib/io/safetensors";
import { relativeError } from "../parity/relative_error";

/** The largest relative L2 error that features of an f32 model may have. */
export const TOLERANCE = 1e-4;

/** A model's files, and what its library computes from them. */
export interface PeerCase {
  readonly name: string;
  readonly family: string;
  readonly path: string;
  /** A safetensors file with inputs and features. */
  readonly expected: string;
  /** Whether the family is written from these files. */
  readonly source: boolean;
  /** What has to be stated because the files do not tell it. */
  readonly config?: ClipConfigInput;
  readonly quickGelu?: boolean;
}

export interface Inputs {
  readonly pixels: Float32Array; // [B, 3, S, S]
  readonly tokens: Int32Array; // [B, L]
}

/** Before they get unit length. */
export interface Features {
  readonly image: Float32Array; // [B, E]
  readonly text: Float32Array; // [B, E]
}

/** The cases of a folder that make_models.py wrote. */
export async function readCases(folder: string): Promise<readonly PeerCase[]> {
  const { cases } = JSON.parse(await readFile(join(folder, "cases.json"), "utf8"));
  return (cases as PeerCase[]).map((peer) => ({
    ...peer,
    path: join(folder, peer.path),
    expected: join(folder, peer.expected),
  }));
}

export function loadCase({ path, config, quickGelu }: PeerCase, device: Device): Promise<EvaClip> {
  const statement = { ...(config && { config }), ...(quickGelu !== undefined && { quickGelu }) };
  return EvaClip.load(path, { device, ...statement });
}

export async function readExpected({ expected }: PeerCase): Promise<Inputs & Features> {
  await using file = await openSafetensors(expected);
  const read = async (name: string) => (await file.read(name)) as Float32Array;
  return {
    pixels: await read("pixels"),
    tokens: (await file.read("tokens")) as Int32Array,
    image: await read("image_features"),
    text: await read("text_features"),
  };
}

export async function featuresOf(clip: EvaClip, { pixels, tokens }: Inputs): Promise<Features> {
  const batch = tokens.length / clip.contextLength;
  const options = { normalize: false };
  return {
    image: await clip.encodePixels(pixels, batch, options),
    text: await clip.encodeTokens(tokens, batch, options),
  };
}

/** Relative L2 errors. */
export function errorsOf(found: Features, expected: Features): { image: number; text: number } {
  return {
    image: relativeError(found.image, expected.image),
    text: relativeError(found.text, expected.text),
  };
}
