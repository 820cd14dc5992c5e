import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeWeights } from "../../lib/weights/write_weights";
import { Device } from "../../lib/device";
import { ClipModel } from "../../lib/models/clip_model";
import { ModelFile } from "../../lib/clip/model_files";
import { initializeModel } from "../../lib/weights/initialize";
import { contentOf } from "../support/tiny_clip";
import { tinyConfigs, tinyModel } from "../support/tiny_models";

let device: Device;
let folder: string;
beforeAll(async () => {
  device = await Device.open("cpu", { threads: 1 });
  folder = await mkdtemp(join(tmpdir(), "eva-clip-files-"));
});
afterAll(async () => {
  await device.dispose();
  await rm(folder, { recursive: true });
});

async function written(): Promise<string> {
  const model = tinyModel("plain");
  await initializeModel(model, device, { seed: 3 });
  const path = join(folder, "plain.safetensors");
  await writeWeights(path, model, { dtype: "f16", layout: "hugging_face" });
  model.dispose();
  return path;
}

test("values are those of a load, and memory is held only while they are read", async () => {
  await using file = await ModelFile.open(await written());
  const [loaded, streamed] = [new ClipModel(file.config), new ClipModel(file.config)];
  const report = await file.fill(loaded, device, { precision: "f32" });
  const { values, ...streaming } = await file.valuesFor(streamed, device);
  expect(streaming).toEqual({ report });
  const contents = await contentOf(loaded.parameters());
  for (const parameter of streamed.parameters()) {
    const { dtype, shape, data } = await values(parameter);
    expect({ dtype, shape }).toEqual({ dtype: "f32", shape: parameter.shape });
    expect([...(data as Float32Array)]).toEqual(contents[parameter.name]);
    expect(parameter.allocated).toBe(false);
  }
});

test("rows that the file lacks keep their initial values, however often they are read", async () => {
  const { text_cfg } = tinyConfigs.plain;
  const longer = { ...tinyConfigs.plain, text_cfg: { ...text_cfg, context_length: 16 } };
  await using file = await ModelFile.open(await written(), { config: longer });
  const [loaded, streamed] = [new ClipModel(file.config), new ClipModel(file.config)];
  await file.fill(loaded, device, { precision: "f32" });
  const { values } = await file.valuesFor(streamed, device);
  const of = (model: ClipModel) => model.parameters().find(({ name }) => name === "positional_embedding")!;
  const expected = (await of(loaded).read()).data;
  for (let reading = 0; reading < 2; reading++) expect((await values(of(streamed))).data).toEqual(expected);
});
