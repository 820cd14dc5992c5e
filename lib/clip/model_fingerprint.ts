import { createHash } from "node:crypto";
import type { ClipModel } from "../models/clip_model";
import type { Parameter } from "../parameter";

/** Elements of a parameter that are hashed, evenly spaced. */
const MOST_ELEMENTS = 4096;

/** Bits of the bf16 nearest to each of up to `MOST_ELEMENTS` values. */
function bf16Sample(values: ArrayLike<number>, isBf16: boolean): Uint16Array {
  const step = Math.ceil(values.length / MOST_ELEMENTS) || 1;
  const sample = new Uint16Array(Math.ceil(values.length / step));
  const wide = new Float32Array(1);
  const bits = new Uint32Array(wide.buffer);
  for (let i = 0; i < sample.length; i++) {
    if (isBf16) {
      sample[i] = values[i * step]!;
      continue;
    }
    wide[0] = values[i * step]!;
    sample[i] = (bits[0]! + 0x7fff + ((bits[0]! >>> 16) & 1)) >>> 16;
  }
  return sample;
}

/**
 * Identifies what an embedding depends on: a hash of the model's weights and preprocessing. The same in f32 and bf16, on
 * every device, and for every layout of the same weights.
 */
export async function modelFingerprint(model: ClipModel): Promise<string> {
  const hash = createHash("sha256");
  const { preprocessing, config } = model;
  const { mean, std, interpolation, resize_mode, fill_color, crop_pct } = preprocessing;
  const pixels = [model.image.imageSize, mean, std, interpolation, resize_mode, fill_color, crop_pct];
  hash.update(JSON.stringify([pixels, config.quick_gelu === true]));
  const byName = (a: Parameter, b: Parameter) => (a.name < b.name ? -1 : 1);
  for (const parameter of [...model.parameters()].sort(byName)) {
    const { dtype, data } = await parameter.read();
    hash.update(JSON.stringify([parameter.name, parameter.shape]));
    hash.update(bf16Sample(data, dtype === "bf16"));
  }
  return hash.digest("hex").slice(0, 32);
}
