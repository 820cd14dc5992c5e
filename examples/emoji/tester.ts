import { compileByShape } from "../../lib/compile";
import { packText } from "../../lib/data/pack_text";
import type { Device } from "../../lib/device";
import type { HostTensor } from "../../lib/host_tensor";
import type { ClipModel } from "../../lib/models/clip_model";
import { plainView } from "./augment";
import { type DataSet, DRAWING_BYTES } from "./data_set";
import { copyDrawing } from "./sampler";
import { dotProducts } from "./similarity";
import type { Split } from "./split";
import { captionsOf, imageInputs, textInputs, viewImages } from "./trainer";
import type { Vocabulary } from "./vocabulary";

const BATCH = 256;
const TEXT_BUCKET = 256;

/**
 * The cosines of every test image with every test name.
 *
 * @returns f32 [N, N], row i the image and column i the name of `split.test[i]`
 */
export async function testCosines(
  device: Device,
  model: ClipModel,
  data: DataSet,
  split: Split,
  vocabulary: Vocabulary,
): Promise<Float32Array> {
  const images = await encodeDrawings(
    device,
    model,
    data,
    split.test.map(({ drawing }) => drawing),
  );
  const names = await encodeNames(
    device,
    model,
    split.test.map(({ concept }) => data.concepts[concept]!.label),
    vocabulary,
  );
  return dotProducts(images, names, model.config.embed_dim);
}

/** Drawings as they are, on the mean colour → f32 [N, E], unit length. */
async function encodeDrawings(
  device: Device,
  model: ClipModel,
  data: DataSet,
  drawings: readonly number[],
): Promise<Float32Array> {
  const encode = compileByShape(device, (inputs) => ({
    embedding: model.image.encode(viewImages(inputs, model.image.imageSize)),
  }));
  try {
    return await inBatches(drawings, async (part) => {
      const pixels = new Uint8Array(part.length * DRAWING_BYTES);
      part.forEach((drawing, b) => {
        copyDrawing(data, drawing, pixels, b);
      });
      return (await encode(imageInputs(pixels, plainView(part.length)))).embedding;
    });
  } finally {
    encode.dispose();
  }
}

/** Names, without a prompt around them → f32 [N, E], unit length. */
async function encodeNames(
  device: Device,
  model: ClipModel,
  names: readonly string[],
  vocabulary: Vocabulary,
): Promise<Float32Array> {
  const encode = compileByShape(device, (inputs) => ({ embedding: model.text.encode(captionsOf(inputs)) }));
  try {
    return await inBatches(names, async (part) => {
      const tokens = part.map((name) => vocabulary.encode(name));
      return (await encode(textInputs(packText(tokens, TEXT_BUCKET)))).embedding;
    });
  } finally {
    encode.dispose();
  }
}

/** The rows that `encode` gives for each part, one after another. */
async function inBatches<Item>(
  items: readonly Item[],
  encode: (part: readonly Item[]) => Promise<HostTensor>,
): Promise<Float32Array> {
  const rows: Float32Array[] = [];
  for (let start = 0; start < items.length; start += BATCH) {
    rows.push((await encode(items.slice(start, start + BATCH))).toFloat32());
  }
  return Float32Array.from(rows.flatMap((part) => [...part]));
}
