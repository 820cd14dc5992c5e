import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EvaClip } from "../../lib/clip/eva_clip";
import { Device } from "../../lib/device";
import { openTensors } from "../../lib/io/open_tensors";
import { parseClipConfig } from "../../lib/models/clip_config";
import { ClipModel, SIGLIP_LOGITS } from "../../lib/models/clip_model";
import { initializeModel } from "../../lib/weights/initialize";
import { inferConfig } from "../../lib/weights/config/infer_config";
import { detectLayout } from "../../lib/weights/layouts/detect_layout";
import { writeWeights } from "../../lib/weights/write_weights";
import { tinyConfigs } from "../support/tiny_models";

let device: Device;
let folder: string;
beforeAll(async () => {
  device = await Device.open("cpu", { threads: 1 });
  folder = await mkdtemp(join(tmpdir(), "eva-clip-logit-bias-"));
});
afterAll(async () => {
  await device.dispose();
  await rm(folder, { recursive: true });
});

async function siglip(name: keyof typeof tinyConfigs): Promise<ClipModel> {
  const config = parseClipConfig({ ...tinyConfigs[name], ...SIGLIP_LOGITS });
  const model = new ClipModel(config, { init: "fan_in" });
  await initializeModel(model, device);
  return model;
}

test("a model has a logit bias where its configuration gives the initial value, the other weights being the same", async () => {
  const model = await siglip("plain");
  expect((await model.logitScale.read()).item()).toBe(Math.fround(Math.log(10)));
  expect((await model.logitBias!.read()).item()).toBe(-10);
  expect(model.parameters().at(-1)).toBe(model.logitBias);
  expect(new ClipModel(parseClipConfig(tinyConfigs.plain)).logitBias).toBeNull();
});

test.each([
  ["plain", "openai"],
  ["plain", "open_clip"],
  ["eva02", "eva_clip"],
  ["eva02", "open_clip"],
] as const)("%s as %s: logit_bias is at the root, and a loaded model has it", async (name, layout) => {
  const model = await siglip(name);
  await model.logitBias!.write(Float32Array.of(-7.5));
  const path = join(folder, `${name}-${layout}`);
  const [weights] = await writeWeights(path, model, { layout });
  await using source = await openTensors(weights!);
  expect(source.tensors.get("logit_bias")).toMatchObject({ shape: [] });
  const options = { device: "cpu", threads: 1 } as const;
  await using loaded = await EvaClip.load(path, options);
  expect(loaded.config.init_logit_bias).toBe(-10);
  const again = join(folder, `${name}-${layout}-again`);
  await loaded.save(again);
  await using saved = await openTensors(again);
  expect(saved.tensors.has("logit_bias")).toBe(true);
});

test("a file of a published model with a logit bias tells its own configuration", async () => {
  const model = await siglip("plain");
  const [weights] = await writeWeights(join(folder, "alone.safetensors"), model);
  await using source = await openTensors(weights!);
  const stored = detectLayout(source.tensors.keys());
  const stated = { quick_gelu: true, vision_cfg: { head_width: 16 }, text_cfg: { heads: 2 } };
  expect(inferConfig(source.tensors, stored, stated).config.init_logit_bias).toBe(-10);
});

test("open_clip_config.json states the initial values; a layout without a place for the bias is refused", async () => {
  const model = await siglip("plain");
  const [, config] = await writeWeights(join(folder, "stated"), model, { layout: "open_clip" });
  const { model_cfg } = JSON.parse(await readFile(config!, "utf8")) as { model_cfg: unknown };
  expect(model_cfg).toMatchObject(SIGLIP_LOGITS);
  await expect(writeWeights(join(folder, "hf"), model, { layout: "hugging_face" })).rejects.toMatchObject({
    code: "ERR_EVACLIP_INVALID_ARGUMENT",
    message: "the layout hugging_face has no place for logit_bias",
  });
});
