import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { openWeights } from "eva-clip/weights";
import { COMMIT } from "../support/hub_server";
import { content, fetched, refused, serve, useHub, world } from "./hub_fixture";

useHub();

test("a path wins over a name", async () => {
  const path = join(world.home, "ViT-B-32");
  await mkdir(path);
  await writeFile(join(path, "model.safetensors"), content);
  const before = process.cwd();
  process.chdir(world.home);
  try {
    expect(await fetched("ViT-B-32")).toBe(true);
    await expect(fetched("ViT-B-32", { pretrained: "openai" })).rejects.toEqual(
      refused("INVALID_ARGUMENT", /ViT-B-32 is a path/),
    );
  } finally {
    process.chdir(before);
  }
});

test("a published name and a tag are open_clip's repository", async () => {
  const timm = (name: string) =>
    world.hub.repositories.set(`timm/${name}`, { files: { "open_clip_model.safetensors": content } });
  timm("eva02_base_patch16_clip_224.merged2b_s8b_b131k");
  timm("vit_large_patch14_clip_336.openai");
  world.hub.repositories.set("QuanSun/EVA-CLIP", {
    files: { "EVA02_CLIP_B_psz16_s8B.pt": content, "x.pt": "x" },
  });
  world.hub.repositories.set("openai/clip-vit-base-patch32", { files: { "model.safetensors": content } });
  const given: [string, string?][] = [
    ["EVA02-CLIP-B-16"],
    ["EVA02-B-16", "merged2b-s8b-b131k"],
    ["eva02-clip-b-16", "eva_clip"],
    ["timm/eva02_base_patch16_clip_224.merged2b_s8b_b131k"],
    ["EVA02_CLIP_B_psz16_s8B"],
    ["hf-hub:QuanSun/EVA-CLIP/EVA02_CLIP_B_psz16_s8B.pt"],
    ["ViT-L-14-336", "openai"],
    ["openai/clip-vit-base-patch32"],
  ];
  for (const [name, pretrained] of given)
    expect(await fetched(name, { ...(pretrained && { pretrained }) })).toBe(true);
});

test.each<[string, string | undefined, string, RegExp]>([
  [
    "EVA02-CLIP-B-16",
    "merged2b",
    "UNKNOWN_MODEL",
    /no published weights merged2b: its weights are merged2b_s8b_b131k, eva/,
  ],
  ["EVA02-CLIP-B-16", "merged2b_s8b_b13k", "UNKNOWN_MODEL", /did you mean merged2b_s8b_b131k\?/],
  [
    "EVA01-CLIP-B-16",
    undefined,
    "UNKNOWN_MODEL",
    /EVA01-CLIP-B-16 has no published weights, nor any others: pass the path/,
  ],
  [
    "EVA02-CLIP-B-61",
    undefined,
    "UNKNOWN_MODEL",
    /neither a file nor a published model.*did you mean EVA02-CLIP-B-16/,
  ],
  ["some/repo", undefined, "UNKNOWN_MODEL", /did you mean hf-hub:some\/repo for a repository of the hub\?/],
  ["./none.safetensors", undefined, "IO", /cannot open \.\/none\.safetensors: it does not exist/],
  ["hf-hub:a/b", "openai", "INVALID_ARGUMENT", /hf-hub:a\/b is a repository/],
  [
    "hf-hub:a",
    undefined,
    "INVALID_ARGUMENT",
    /hf-hub:a is not a repository of the hub: expected hf-hub:OWNER\/NAME/,
  ],
  ["hf-hub:a/../b", undefined, "INVALID_ARGUMENT", /is not a repository/],
  ["hf-hub:a/b/../../x", undefined, "INVALID_ARGUMENT", /is not a repository/],
  ["hf-hub:a/b@../x", undefined, "INVALID_ARGUMENT", /is not a repository/],
])("%s with %s", async (name, pretrained, code, message) => {
  await expect(fetched(name, { ...(pretrained && { pretrained }) })).rejects.toEqual(refused(code, message));
  expect(world.hub.log).toEqual([]);
});

test("a revision may be a commit, a pull request or a branch with a slash", async () => {
  const [one, two] = [COMMIT.replace("0", "1"), COMMIT.replace("0", "2")];
  serve({ revisions: { [one]: one, "refs/pr/3": one, "feature/x": two } });
  const path = async (name: string) => {
    await using source = await openWeights(name);
    return source.path.split("/").slice(-2).join("/");
  };
  expect(await path(`hf-hub:a/b@${one}`)).toBe(`${one}/model.safetensors`);
  expect(await path("hf-hub:a/b@refs/pr/3/model.safetensors")).toBe(`${one}/model.safetensors`);
  expect(await path("hf-hub:a/b@feature%2Fx")).toBe(`${two}/model.safetensors`);
});
