// Loads the models that make_models.py wrote and compares features with those that their libraries compute:
// ts-node -T test/peer/compare.ts FOLDER
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type ClipConfigInput, Device, EvaClip } from "../../lib";
import { openSafetensors } from "../../lib/io/safetensors";
import { relativeError } from "../parity/relative_error";

/** The largest relative L2 error that features of an f32 model may have. */
const TOLERANCE = 1e-4;

/** A model's files, and what its library computes from them. Paths are relative to the folder of cases. */
interface PeerCase {
  readonly name: string;
  readonly path: string;
  readonly expected: string;
  /** For files that do not state it themselves. */
  readonly config?: ClipConfigInput;
}

interface Inputs {
  readonly pixels: Float32Array; // [B, 3, S, S]
  readonly tokens: Int32Array; // [B, L]
}

interface Features {
  readonly image: Float32Array; // [B, E]
  readonly text: Float32Array; // [B, E]
}

async function readCases(folder: string): Promise<readonly PeerCase[]> {
  return JSON.parse(await readFile(join(folder, "cases.json"), "utf8")).cases;
}

async function readExpected(path: string): Promise<Inputs & Features> {
  await using file = await openSafetensors(path);
  const read = async (name: string) => (await file.read(name)) as Float32Array;
  return {
    pixels: await read("pixels"),
    tokens: (await file.read("tokens")) as Int32Array,
    image: await read("image_features"),
    text: await read("text_features"),
  };
}

async function featuresOf(clip: EvaClip, { pixels, tokens }: Inputs): Promise<Features> {
  const batch = tokens.length / clip.contextLength;
  const options = { normalize: false };
  return {
    image: await clip.encodePixels(pixels, batch, options),
    text: await clip.encodeTokens(tokens, batch, options),
  };
}

async function compareCase(device: Device, folder: string, peer: PeerCase): Promise<object & { ok: boolean }> {
  const { name, path, config } = peer;
  try {
    const expected = await readExpected(join(folder, peer.expected));
    await using clip = await EvaClip.load(join(folder, path), { device, ...(config && { config }) });
    const found = await featuresOf(clip, expected);
    const [image, text] = [relativeError(found.image, expected.image), relativeError(found.text, expected.text)];
    return { name, image, text, ok: Math.max(image, text) <= TOLERANCE };
  } catch (error) {
    return { name, ok: false, error: String(error) };
  }
}

async function main([folder]: readonly string[]): Promise<number> {
  if (folder === undefined) {
    process.stderr.write("usage: ts-node -T test/peer/compare.ts FOLDER\n");
    return 2;
  }
  await using device = await Device.open("cpu");
  let failed = 0;
  for (const peer of await readCases(folder)) {
    const result = await compareCase(device, folder, peer);
    process.stdout.write(`${JSON.stringify(result)}\n`);
    if (!result.ok) failed++;
  }
  return failed === 0 ? 0 : 1;
}

void main(process.argv.slice(2)).then((code) => {
  process.exitCode = code;
});
