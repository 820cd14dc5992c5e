import type { Device } from "eva-clip";
import { compileByShape, HostTensor, type Tensor } from "eva-clip/graph";
import type { ClipModel } from "eva-clip/train";
import { plainView } from "./augment";
import { imageTensors, packTexts, viewImages } from "./batches";
import { type DataSet, DRAWING_BYTES } from "./data_set";
import { copyDrawing } from "./sampler";
import { dotProducts } from "./similarity";
import type { Split } from "./split";
import type { Vocabulary } from "./vocabulary";

const BATCH = 256;

/**
 * Cosine similarities of every test image and every test name. Drawings are unchanged, on the mean color; names are encoded
 * without a prompt.
 *
 * @returns f32 [N, N]: row i is the image and column i the name of `split.test[i]`
 */
export async function testCosines(
  device: Device,
  model: ClipModel,
  data: DataSet,
  split: Split,
  vocabulary: Vocabulary,
): Promise<Float32Array> {
  const drawings = split.test.map(({ drawing }) => drawing);
  const names = split.test.map(({ concept }) => data.concepts[concept]!.label);
  const images = await encode(
    device,
    drawings,
    (part) => drawingTensors(data, part),
    (tensors) => model.image.encode(viewImages(tensors)),
  );
  const texts = await encode(
    device,
    names,
    (part) => nameTensors(part, vocabulary),
    (tensors) => model.text.encode(tensors as Captions),
  );
  return dotProducts(device, images, texts, model.config.embed_dim);
}

type Captions = Record<"tokens" | "cuSeqlens" | "textEnds", Tensor>;

function drawingTensors(data: DataSet, drawings: readonly number[]): Record<string, HostTensor> {
  const pixels = new Uint8Array(drawings.length * DRAWING_BYTES);
  drawings.forEach((drawing, b) => {
    copyDrawing(data, drawing, pixels, b);
  });
  return imageTensors(pixels, plainView(drawings.length));
}

function nameTensors(names: readonly string[], vocabulary: Vocabulary): Record<string, HostTensor> {
  return Object.fromEntries(
    Object.entries(packTexts(names, vocabulary)).map(([name, data]) => [
      name,
      new HostTensor("i32", [data.length], data),
    ]),
  );
}

/** Encodes items in batches. → f32 [items, E] */
async function encode<Item>(
  device: Device,
  items: readonly Item[],
  tensorsOf: (part: readonly Item[]) => Record<string, HostTensor>,
  body: (tensors: Record<string, Tensor>) => Tensor,
): Promise<Float32Array> {
  const program = compileByShape(device, (tensors) => ({ embeddings: body(tensors) }));
  try {
    const parts: HostTensor[] = [];
    for (let start = 0; start < items.length; start += BATCH) {
      parts.push((await program(tensorsOf(items.slice(start, start + BATCH)))).embeddings);
    }
    return Float32Array.from(parts.flatMap((part) => [...part.toFloat32()]));
  } finally {
    program.dispose();
  }
}
