// Compares prepared images with those of torchvision and Pillow, byte by byte.
//   compare_images.ts FOLDER, written by make_images.py
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type Box, type CropPlanner, centerCrop } from "../../lib/image/crop";
import { decodeImage } from "../../lib/image/decode";
import type { Interpolation } from "../../lib/image/resample";

interface Case {
  name: string;
  image: string;
  size: number;
  interpolation: Interpolation;
  box: Box;
}

/** The plan of randomResizedCrop with a box that is given. */
const cropTo =
  (before: Box): CropPlanner =>
  (_width, _height, size) => ({
    ...{ before, width: size, height: size },
    after: { left: 0, top: 0, width: size, height: size },
  });

async function compareAll(folder: string): Promise<void> {
  const cases: Case[] = JSON.parse(readFileSync(join(folder, "images.json"), "utf8"));
  let wrong = 0;
  for (const { name, image, size, interpolation, box } of cases) {
    const planners = { evaluation: centerCrop, training: cropTo(box) };
    for (const [transform, planner] of Object.entries(planners)) {
      const expected = readFileSync(join(folder, name.replace("png", transform)));
      const found = await decodeImage(join(folder, name), size, planner, interpolation);
      if (Buffer.compare(found, expected) === 0) continue;
      wrong++;
      const different = found.filter((value, i) => value !== expected[i]).length;
      console.error(
        `${image}, ${transform}, ${interpolation} to ${size}: ${different} of ${found.length} bytes differ`,
      );
    }
  }
  if (wrong > 0) throw new Error(`${wrong} of ${2 * cases.length} images differ from Pillow's`);
  console.log(`${cases.length} images in two transforms: the bytes of torchvision and Pillow`);
}

compareAll(process.argv[2]!).catch((error: Error) => {
  console.error(error.message);
  process.exitCode = 1;
});
