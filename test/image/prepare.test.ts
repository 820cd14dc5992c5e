import { join } from "node:path";
import { prepareImage } from "../../lib/image/prepare";
import { openSafetensors } from "../../lib/io/safetensors";
import { CLIP_PREPROCESSING, type Preprocessing } from "../../lib/image/preprocessing";

const FIXTURES = join(__dirname, "../fixtures");
const SIZE = 32;

const modes: Record<string, Partial<Preprocessing>> = Object.fromEntries(
  (["bicubic", "bilinear"] as const).flatMap((interpolation) =>
    (["shortest", "squash", "longest"] as const).map((resize_mode) => [
      `${interpolation}_${resize_mode}`,
      { interpolation, resize_mode, fill_color: 7 },
    ]),
  ),
);
modes.bilinear_crop = { interpolation: "bilinear", crop_pct: SIZE / 36 };

const cases = ["gray", "rgb_tall", "rgb_wide", "upscale"].flatMap((image) =>
  Object.keys(modes).map((mode) => [image, mode] as const),
);

test.each(cases)("%s under %s as Pillow and open_clip do it", async (image, mode) => {
  await using expected = await openSafetensors(join(FIXTURES, "models/preprocessing.safetensors"));
  const wanted = (await expected.read(`${image}/${mode}`)) as Uint8Array;
  const preprocessing = { ...CLIP_PREPROCESSING, ...modes[mode] };
  const pixels = await prepareImage(join(FIXTURES, `image_${image}.png`), SIZE, preprocessing);
  expect(Buffer.compare(pixels, wanted)).toBe(0);
});
