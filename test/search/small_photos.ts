import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import sharp from "sharp";
import { Device, EvaClip } from "../../lib/index";
import config from "../../scripts/package_consumer/small_model.json";

/** A small model with random weights on one thread. */
export async function smallModel(seed = 0): Promise<EvaClip> {
  const device = await Device.open("cpu", { threads: 1 });
  const model = await EvaClip.create(config, { device, seed, init: "fan_in" });
  const disposeModel = model.dispose.bind(model);
  return Object.assign(model, { dispose: () => disposeModel().then(() => device.dispose()) });
}

/** Writes an image of two colors that differ from those of any other number. */
export async function writePhoto(folder: string, name: string, number: number, width = 40): Promise<void> {
  await mkdir(dirname(join(folder, name)), { recursive: true });
  const pixels = Buffer.alloc(width * 32 * 3);
  for (let i = 0; i < pixels.length; i++)
    pixels[i] = (number * (37 + 54 * (i % 3)) + (i % width) * number) % 256;
  await sharp(pixels, { raw: { width, height: 32, channels: 3 } })
    .png()
    .toFile(join(folder, name));
}

/** Writes `count` images in two folders, a third of them with captions, and a file that is no image. */
export async function writePhotos(folder: string, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const name = join(i % 2 === 0 ? "cats" : "birds", `${String(i).padStart(3, "0")}`);
    await writePhoto(folder, `${name}.png`, i + 1, 40 + i);
    if (i % 3 === 0) await writeFile(join(folder, `${name}.txt`), `photo ${i}\n`);
  }
  await writeFile(join(folder, "broken.jpg"), "not an image");
}
