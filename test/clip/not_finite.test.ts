import { join } from "node:path";
import { EvaClip } from "../../lib/clip/eva_clip";
import { tinyConfig, tinyTokenizer } from "../support/tiny_clip";

const options = { device: "cpu", threads: 1, tokenizer: tinyTokenizer, init: "fan_in" } as const;
const picture = join(__dirname, "..", "fixtures", "image_rgb_tall.png");
const PIXELS = 3 * 16 * 16;
const notFinite = (text: string) => ({
  code: "ERR_EVACLIP_NOT_FINITE",
  message: expect.stringContaining(text),
});

/** Fills a parameter of a new model with a value while `work` uses the model. */
async function withParameter(
  name: string,
  value: number,
  work: (model: EvaClip) => Promise<void>,
): Promise<void> {
  await using model = await EvaClip.create(tinyConfig, options);
  const parameter = model.model.stateDict().get(name)!;
  await parameter.write(new Float32Array(parameter.size).fill(value));
  await work(model);
}

let model: EvaClip;
beforeAll(async () => {
  model = await EvaClip.create(tinyConfig, options);
});
afterAll(() => model.dispose());

test.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])(
  "image weights of %p: no embedding and no classification without an error",
  async (value) => {
    await withParameter("visual.patch_embed.proj.weight", value, async (broken) => {
      await expect(broken.encodeImage(picture)).rejects.toMatchObject(notFinite("image 0"));
      await expect(broken.encodeImage([picture], { normalize: false })).rejects.toMatchObject(
        notFinite("image 0"),
      );
      await expect(broken.encodePixels(new Uint8Array(PIXELS), 1)).rejects.toMatchObject(
        notFinite("image 0"),
      );
      await expect(broken.classify(picture, ["cat", "dog"])).rejects.toMatchObject(notFinite("image 0"));
      expect(await broken.encodeText("cat")).toHaveLength(16);
    });
  },
);

test("text weights that are NaN: no embedding and no classification without an error", async () => {
  await withParameter("text.text_projection", Number.NaN, async (broken) => {
    await expect(broken.encodeText(["cat", "dog"])).rejects.toMatchObject(notFinite("caption 0"));
    await expect(broken.encodeTokens(Int32Array.of(30, 3, 31), 1)).rejects.toMatchObject(
      notFinite("caption 0"),
    );
    await expect(broken.classify(picture, ["cat"])).rejects.toMatchObject(notFinite("caption 0"));
  });
});

test("an embedding of length 0 has no unit length, and is given as it is when none is wanted", async () => {
  await withParameter("text.text_projection", 0, async (broken) => {
    await expect(broken.encodeText("cat")).rejects.toMatchObject(notFinite("has length 0"));
    expect(await broken.encodeText("cat", { normalize: false })).toEqual(new Float32Array(16));
  });
});

test("an embedding whose length overflows f32 has no unit length", async () => {
  await withParameter("text.text_projection", 1e30, async (broken) => {
    await expect(broken.encodeText("cat")).rejects.toMatchObject(
      notFinite("cannot be brought to unit length"),
    );
  });
});

test.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 1000])(
  "a logit scale of e^%p",
  async (value) => {
    await withParameter("logit_scale", value, async (broken) => {
      await expect(broken.classify(picture, ["cat", "dog"])).rejects.toMatchObject(notFinite("logit_scale"));
    });
  },
);

test.each([Number.NaN, Number.POSITIVE_INFINITY])("a pixel of %p is named", async (value) => {
  const pixels = new Float32Array(3 * PIXELS);
  pixels[PIXELS + 5] = value;
  const expected = notFinite(`image 1, whose value 5 is ${value}`);
  await expect(model.encodePixels(pixels, 3)).rejects.toMatchObject(expected);
  await expect(model.encodePixels(pixels, 3, { batchSize: 1 })).rejects.toMatchObject(expected);
});

test("similarities of NaN, and those that overflow, are errors", async () => {
  const fine = new Float32Array(16).fill(0.25);
  const nan = fine.with(3, Number.NaN);
  const huge = new Float32Array(16).fill(3e38);
  await expect(model.similarity(nan, fine)).rejects.toMatchObject(notFinite("a[3] is NaN"));
  await expect(model.similarity([fine], [fine, nan])).rejects.toMatchObject(notFinite("b[1][3] is NaN"));
  await expect(model.similarity([fine, huge], [fine, huge])).rejects.toMatchObject(notFinite("row 1"));
});

test("what a bf16 model gives is of unit length", async () => {
  await using half = await EvaClip.create(tinyConfig, { ...options, precision: "bf16" });
  expect(Math.hypot(...(await half.encodeImage(picture)))).toBeCloseTo(1, 2);
  expect(Math.hypot(...(await half.encodeText("cat")))).toBeCloseTo(1, 2);
});
