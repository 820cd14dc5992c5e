import { mkdtemp, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { EvaClip } from "eva-clip";
import { type LayoutName, writeWeights } from "eva-clip/weights";
import { world } from "./hub_fixture";

const eva = { eva_model_name: "s" };
const small = (image: object) => ({
  embed_dim: 8,
  vision_cfg: { ...image, image_size: 8, patch_size: 4, layers: 1, width: 16, head_width: 8 },
  text_cfg: { context_length: 8, width: 64, heads: 1, layers: 1 },
});
const picture = join(__dirname, "../fixtures/image_rgb_wide.png");

/** The embeddings of a picture and of "a cat". */
export async function embeddings(model: EvaClip): Promise<number[]> {
  return [...(await model.encodeImage(picture)), ...(await model.encodeText("a cat"))];
}

/** The content of a folder. */
export async function filesOf(folder: string): Promise<Record<string, Buffer>> {
  const names = await readdir(folder);
  const files = names.map(async (name) => [name, await readFile(join(folder, name))] as const);
  return Object.fromEntries(await Promise.all(files));
}

/** A small random model in a folder, as a repository has it, and its embeddings. */
export async function smallModel(layout: LayoutName, seed = 3) {
  const isPlain = layout === "hugging_face" || layout === "open_clip";
  const config = small(isPlain ? {} : eva);
  await using model = await EvaClip.create(config, { device: "cpu", threads: 1, init: "fan_in", seed });
  const folder = await mkdtemp(join(world.home, `${layout}-`));
  await writeWeights(folder, model.model, { layout });
  return { folder, files: await filesOf(folder), expected: await embeddings(model) };
}
