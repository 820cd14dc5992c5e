// Writes every family of make_models.py in all layouts that support it, with the features of the written weights, for
// check_written.py: node -C eva-clip-source -r ts-node/register/transpile-only test/peer/write_models.ts FOLDER_MADE FOLDER
import { mkdir, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { Device, EvaClip } from "eva-clip";
import { type LayoutName, type WeightDType, writeWeights } from "eva-clip/weights";
import { writeSafetensors } from "../../lib/io/safetensors";
import {
  errorsOf,
  type Features,
  featuresOf,
  type Inputs,
  loadCase,
  readCases,
  readExpected,
} from "./peer_cases";

/** Paths are relative to the folder of cases. */
interface WrittenCase {
  readonly name: string;
  readonly family: string;
  readonly layout: LayoutName;
  readonly weights: string;
  /** A safetensors file. */
  readonly features: string;
}

/** Every layout that supports the model, in every type. */
function formsOf({ config }: EvaClip): readonly (readonly [LayoutName, WeightDType])[] {
  const isEva = config.vision_cfg.eva_model_name !== undefined;
  return isEva
    ? [
        ["open_clip", "f32"],
        ["eva_clip", "f32"],
        ["eva_clip", "f16"],
        ["eva_clip", "bf16"],
      ]
    : [
        ["open_clip", "f32"],
        ["hugging_face", "f32"],
        ["openai", "f16"],
        ["openai", "bf16"],
      ];
}

async function writeFeatures(path: string, { image, text }: Features, embedDim: number): Promise<void> {
  const shape = [image.length / embedDim, embedDim];
  await writeSafetensors(path, [
    { name: "image", dtype: "F32", shape, data: image },
    { name: "text", dtype: "F32", shape, data: text },
  ]);
}

/** Writes a model in every form and reads it again; in f32 the features must have the same bits. */
async function writeForms(clip: EvaClip, device: Device, family: string, inputs: Inputs, folder: string) {
  const original = await featuresOf(clip, inputs);
  const cases: WrittenCase[] = [];
  for (const [layout, dtype] of formsOf(clip)) {
    const name = `${family}_${layout}_${dtype}`;
    const [weights] = await writeWeights(join(folder, name), clip.model, { layout, dtype, ropeTables: true });
    await using again = await EvaClip.load(join(folder, name), { device });
    const features = await featuresOf(again, inputs);
    const { image, text } = errorsOf(features, original);
    if (dtype === "f32" && Math.max(image, text) > 0)
      throw new Error(`${name} has other features after reading`);
    const path = join(folder, name, "features.safetensors");
    await writeFeatures(path, features, clip.embedDim);
    cases.push({
      name,
      family,
      layout,
      weights: relative(folder, weights!),
      features: relative(folder, path),
    });
  }
  return cases;
}

async function main([made, folder]: readonly string[]): Promise<number> {
  if (made === undefined || folder === undefined) {
    process.stderr.write(
      "usage: node -C eva-clip-source -r ts-node/register/transpile-only test/peer/write_models.ts FOLDER_MADE FOLDER\n",
    );
    return 2;
  }
  await mkdir(folder, { recursive: true });
  await using device = await Device.open("cpu");
  const cases: WrittenCase[] = [];
  let failed = 0;
  for (const peer of (await readCases(made)).filter(({ source }) => source)) {
    try {
      await using clip = await loadCase(peer, device);
      cases.push(...(await writeForms(clip, device, peer.family, await readExpected(peer), folder)));
    } catch (error) {
      process.stdout.write(`${JSON.stringify({ family: peer.family, ok: false, error: String(error) })}\n`);
      failed++;
    }
  }
  await writeFile(join(folder, "cases.json"), JSON.stringify({ cases }));
  process.stdout.write(`wrote ${cases.length} models\n`);
  return failed === 0 ? 0 : 1;
}

void main(process.argv.slice(2)).then((code) => {
  process.exitCode = code;
});
