import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { CLIP_PREPROCESSING, type ClipConfigInput, type Device, EvaClip } from "eva-clip";
import { loadPretrained } from "eva-clip/weights";
import { openSafetensors } from "../../lib/io/safetensors";
import { relativeError } from "../parity/relative_error";

/** Maximum relative L2 error of the features of an f32 model. */
export const TOLERANCE = 1e-4;

/** A model's files, and its library's features of them. */
export interface PeerCase {
  readonly name: string;
  readonly family: string;
  readonly path: string;
  /** A safetensors file with inputs and features. */
  readonly expected: string;
  /** Whether write_models.ts writes the family from these files. */
  readonly source: boolean;
  /** Configuration that the files do not contain. */
  readonly config?: ClipConfigInput;
  readonly quickGelu?: boolean;
  /** The only tower compared: a model of `config` is initialized from it. */
  readonly tower?: "image" | "text";
  /** Whether the tower has no projection, so that its features have its width. */
  readonly headless?: boolean;
}

export interface Inputs {
  readonly pixels: Float32Array; // [B, 3, S, S]
  readonly tokens: Int32Array; // [B, L]
}

/** Features before normalization. */
export interface Features {
  readonly image: Float32Array; // [B, E]
  readonly text: Float32Array; // [B, E]
}

/** The cases of a folder written by make_models.py. */
export async function readCases(folder: string): Promise<readonly PeerCase[]> {
  const { cases } = JSON.parse(await readFile(join(folder, "cases.json"), "utf8"));
  return (cases as PeerCase[]).map((peer) => ({
    ...peer,
    path: join(folder, peer.path),
    expected: join(folder, peer.expected),
  }));
}

/** A model with the weights of a case. */
export async function loadCase(peer: PeerCase, device: Device): Promise<EvaClip> {
  const { path, config, quickGelu, tower } = peer;
  if (tower !== undefined) return startFrom(peer, tower, device);
  // Features are compared of pixels, and some files do not state how images are prepared.
  const preprocessing = CLIP_PREPROCESSING;
  const statement = {
    preprocessing,
    ...(config && { config }),
    ...(quickGelu !== undefined && { quickGelu }),
  };
  return EvaClip.load(path, { device, ...statement });
}

async function startFrom(
  { path, config, headless }: PeerCase,
  tower: "image" | "text",
  device: Device,
): Promise<EvaClip> {
  const clip = await EvaClip.create(config!, { device });
  await loadPretrained(clip.model, { [tower]: { path, skip: headless ? ["head.weight", "head.bias"] : [] } });
  if (headless) await projectByIdentity(clip);
  return clip;
}

async function projectByIdentity({ model, embedDim }: EvaClip): Promise<void> {
  const identity = Float32Array.from({ length: embedDim ** 2 }, (_, i) => (i % (embedDim + 1) === 0 ? 1 : 0));
  const parameters = model.stateDict();
  await parameters.get("visual.head.weight")!.write(identity);
  await parameters.get("visual.head.bias")!.write(new Float32Array(embedDim));
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
