import { captureCli } from "../support/run_cli";

test("models lists sizes, cost and accuracy", async () => {
  const { code, out } = await captureCli("models");
  expect(code).toBe(0);
  const line = out.split("\n").find((text) => text.startsWith("EVA02-CLIP-bigE-14-plus"));
  expect(line).toMatch(/ 4\.4 G +694\.3 M +5\.0 G +2362\.19 +224 +82\.0 +laion2b_s9b_b144k$/);
  expect(out).toContain("open_clip docs/openclip_results.csv; EVA-CLIP-18B");
  expect(out).toMatch(/^EVA02-CLIP-L-14-336 +merged2b_s6b_b61k, eva_clip, eva02_clip, eva_clip_224to336$/m);
  expect(out).toMatch(/^ViT-B-32 +datacomp_xl_s13b_b90k, laion2b_e16, laion2b_s34b_b79k, /m);
});

test("models --json gives exact counts, other names and sources", async () => {
  const { out } = await captureCli("models", "--json");
  const models = JSON.parse(out) as { name: string }[];
  expect(models.find(({ name }) => name === "EVA02-CLIP-B-16")).toMatchObject({
    aliases: expect.arrayContaining(["EVA02-B-16", "eva02_base_patch16_clip_224"]),
    parameters: { image: 86_263_040, text: 63_428_096, total: 149_691_137 },
    imageSize: 224,
    zeroShot: { top1: 74.72, weights: "merged2b_s8b_b131k", source: "open_clip docs/openclip_results.csv" },
    config: { embed_dim: 512 },
    weights: expect.arrayContaining([
      { tag: "merged2b_s8b_b131k", source: "timm/eva02_base_patch16_clip_224.merged2b_s8b_b131k" },
      { tag: "eva_clip", source: "QuanSun/EVA-CLIP/EVA02_CLIP_B_psz16_s8B.pt" },
    ]),
  });
});

test("a name that no model has leads to those near to it", async () => {
  const { code, err } = await captureCli("inspect", "EVA02-CLIP-B-61");
  expect(code).not.toBe(0);
  expect(err).toMatch(/unknown model EVA02-CLIP-B-61; did you mean EVA02-CLIP-B-16.*UNKNOWN_MODEL/);
});

test("a name that is like no model's leads to the list of models", async () => {
  const { err } = await captureCli("encode", "nowhere", "--text", "a");
  expect(err).toMatch(
    /nowhere is neither a file nor a published model: .*; `eva-clip models` lists the names/,
  );
});
