import { mkdtemp, readdir, readFile, readlink, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EvaClip, type LoadOptions } from "eva-clip";
import { type LayoutName, writeWeights } from "eva-clip/weights";
import { COMMIT, HubServer } from "../support/hub_server";
import { captureCli } from "../support/run_cli";

const cpu: LoadOptions = { device: "cpu", threads: 1 };
const small = {
  embed_dim: 8,
  vision_cfg: { eva_model_name: "s", image_size: 8, patch_size: 4, layers: 1, width: 16, head_width: 8 },
  text_cfg: { context_length: 8, width: 8, heads: 2, layers: 1 },
};
const picture = join(__dirname, "../fixtures/image_rgb_wide.png");

let folder: string;
let hub: HubServer;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eva-clip-hub-"));
  hub = await HubServer.start();
  Object.assign(process.env, { HF_ENDPOINT: hub.url, HF_HOME: join(folder, "home") });
});
afterAll(async () => {
  await hub[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

/** The files of a small random model, and its embeddings. */
async function published(layout: LayoutName) {
  await using model = await EvaClip.create(small, { ...cpu, seed: 3 } as never);
  const path = join(folder, layout);
  await writeWeights(path, model.model, { layout });
  const names = await readdir(path);
  const files = Object.fromEntries(
    await Promise.all(names.map(async (name) => [name, await readFile(join(path, name))] as const)),
  );
  return { files, expected: await embeddings(model) };
}

async function embeddings(model: EvaClip): Promise<number[]> {
  return [...(await model.encodeImage(picture)), ...(await model.encodeText("a cat"))];
}

test("a model in open_clip's form is loaded by name, with the values of its folder", async () => {
  const { files, expected } = await published("open_clip");
  hub.repositories.set("someone/small", { files });
  await using model = await EvaClip.load("hf-hub:someone/small", cpu);
  expect(await embeddings(model)).toEqual(expected);
  const root = join(folder, "home/hub/models--someone--small");
  expect(await readFile(join(root, "refs/main"), "utf8")).toBe(COMMIT);
  const link = await readlink(join(root, "snapshots", COMMIT, "open_clip_model.safetensors"));
  expect(link).toMatch(/^\.\.\/\.\.\/blobs\/[0-9a-f]{64}$/);
});

test("the command line", async () => {
  const { out, err, code } = await captureCli(
    "encode",
    "hf-hub:someone/small",
    "--text",
    "a cat",
    "--device",
    "cpu",
  );
  expect([code, err]).toEqual([0, expect.stringContaining("hf-hub:someone/small")]);
  expect(out).toMatch(/^a cat\t/);
});
