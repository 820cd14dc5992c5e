import { compileByShape } from "../compile_by_shape";
import { packText } from "../text/pack_text";
import type { Device } from "../device";
import { HostTensor } from "../host_tensor";
import type { ClipModel } from "../models/clip_model";
import { l2Normalize } from "../ops/l2_normalize";
import { matmul } from "../ops/linear";
import type { Tensor } from "../tensor";

/** Most samples of one run; smaller batches are powers of two, so that a model has few programs. */
export const LARGEST_BATCH = 32;
/** Lengths of packed text that a batch size has programs for. */
const TEXT_LENGTHS = 8;
const TEXT_UNIT = 16;

/** Both [batch, E]. */
export interface Embeddings {
  readonly features: Float32Array;
  readonly unit: Float32Array;
}

/** A batch of any size as powers of two, the largest first: 41 → 32, 8, 1. */
export function batchParts(size: number, largest = LARGEST_BATCH): number[] {
  const parts: number[] = [];
  for (let left = size; left > 0; left -= parts.at(-1)!) {
    parts.push(Math.min(largest, 2 ** Math.floor(Math.log2(left))));
  }
  return parts;
}

/** The programs of a model that is used, not trained, each compiled when it is first needed. */
export class EncoderPrograms {
  readonly #image: ReturnType<EncoderPrograms["imageProgram"]>;
  readonly #text: ReturnType<EncoderPrograms["textProgram"]>;
  readonly #products: ReturnType<EncoderPrograms["productProgram"]>;

  constructor(
    private readonly device: Device,
    private readonly model: ClipModel,
  ) {
    this.#image = this.imageProgram();
    this.#text = this.textProgram();
    this.#products = this.productProgram();
  }

  /** Embeddings of images u8 [batch, S, S, 3] or normalised f32 [batch, 3, S, S]: as they are, and of unit length. */
  async image(pixels: Uint8Array | Float32Array, batch: number): Promise<Embeddings> {
    const side = this.model.image.imageSize;
    const images =
      pixels.BYTES_PER_ELEMENT === 1
        ? new HostTensor("u8", [batch, side, side, 3], pixels as Uint8Array)
        : new HostTensor("f32", [batch, 3, side, side], pixels as Float32Array);
    return embeddingsOf(await this.#image({ images }));
  }

  /** Embeddings of captions, given as ids without padding: as they are, and of unit length. */
  async text(rows: readonly ArrayLike<number>[]): Promise<Embeddings> {
    const longest = rows.length * this.model.text.contextLength;
    const bucket = Math.ceil(longest / TEXT_LENGTHS / TEXT_UNIT) * TEXT_UNIT;
    const { tokens, cuSeqlens, textEnds } = packText(rows, bucket);
    const results = await this.#text({
      tokens: new HostTensor("i32", [tokens.length], tokens),
      cuSeqlens: new HostTensor("i32", [cuSeqlens.length], cuSeqlens),
      textEnds: new HostTensor("i32", [textEnds.length], textEnds),
    });
    return embeddingsOf(results);
  }

  /** a [N, E] times the transpose of b [M, E] → [N, M] */
  async products(a: Float32Array, b: Float32Array, columns: number): Promise<Float32Array> {
    const { y } = await this.#products({
      a: new HostTensor("f32", [a.length / columns, columns], a),
      b: new HostTensor("f32", [b.length / columns, columns], b),
    });
    return y.data as Float32Array;
  }

  dispose(): void {
    this.#image.dispose();
    this.#text.dispose();
    this.#products.dispose();
  }

  private imageProgram() {
    return compileByShape(this.device, ({ images }) => {
      const features = this.model.image.features(images!);
      return { features, unit: l2Normalize(features) };
    });
  }

  private textProgram() {
    return compileByShape(this.device, (inputs) => {
      const { tokens, cuSeqlens, textEnds } = inputs as Record<"tokens" | "cuSeqlens" | "textEnds", Tensor>;
      const features = this.model.text.features({ tokens, cuSeqlens, textEnds });
      return { features, unit: l2Normalize(features) };
    });
  }

  private productProgram() {
    return compileByShape(this.device, ({ a, b }) => ({ y: matmul(a!, b!, { transposeB: true }) }));
  }
}

function embeddingsOf({ features, unit }: Record<"features" | "unit", HostTensor>): Embeddings {
  return { features: features.data as Float32Array, unit: unit.data as Float32Array };
}
