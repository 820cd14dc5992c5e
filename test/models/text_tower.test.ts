import { compile, spec } from "../../lib/compile";
import type { PackedText } from "../../lib/text/pack_text";
import { packPadded } from "../../lib/text/pack_text";
import { Device } from "../../lib/device";
import { parseClipConfig } from "../../lib/models/clip_config";
import { ClipModel } from "../../lib/models/clip_model";
import { initializeParameters } from "../../lib/nn/initialize_parameters";
import { relativeError } from "../parity/relative_error";

const CONTEXT = 16;
const END = 99;

const config = parseClipConfig({
  embed_dim: 24,
  vision_cfg: { image_size: 16, layers: 1, width: 32, head_width: 16, patch_size: 8 },
  text_cfg: { context_length: CONTEXT, vocab_size: 100, width: 48, heads: 3, layers: 3 },
});

/** Captions of several lengths as padded rows, the shortest and the longest among them. */
function paddedRows(): Int32Array {
  const lengths = [2, 7, CONTEXT, 3, 11];
  const tokens = new Int32Array(lengths.length * CONTEXT);
  lengths.forEach((length, b) => {
    for (let i = 0; i < length; i++)
      tokens[b * CONTEXT + i] = i === length - 1 ? END : 1 + ((7 * i + b) % 90);
  });
  return tokens;
}

/** The same rows with their padding, as sequences that all fill the context. */
function asFullRows(tokens: Int32Array): PackedText {
  const batch = tokens.length / CONTEXT;
  return {
    tokens,
    cuSeqlens: Int32Array.from({ length: batch + 1 }, (_, b) => b * CONTEXT),
    textEnds: Int32Array.from({ length: batch }, (_, b) => tokens.indexOf(END, b * CONTEXT)),
  };
}

describe("the text tower", () => {
  let device: Device;
  const { text } = new ClipModel(config);
  beforeAll(async () => {
    device = await Device.open("cpu", { threads: 1 });
    for (const parameter of text.parameters()) parameter.allocate(device);
    await initializeParameters(device, text.parameters(), 7);
  });
  afterAll(() => device.dispose());

  async function encode(captions: PackedText): Promise<Float32Array> {
    const specs = {
      tokens: spec("i32", [captions.tokens.length]),
      cuSeqlens: spec("i32", [captions.cuSeqlens.length]),
      textEnds: spec("i32", [captions.textEnds.length]),
    };
    const program = await compile(device, specs, (x) => ({ y: text.encode(x) }));
    const { y } = await program({ ...captions });
    program.dispose();
    return y.toFloat32();
  }

  test("packed captions give what padded ones give", async () => {
    const padded = await encode(asFullRows(paddedRows()));
    const packed = await encode(packPadded(paddedRows(), CONTEXT));
    expect(relativeError(packed, padded)).toBeLessThan(1e-6);
    expect(relativeError(packed, new Float32Array(packed.length))).toBeCloseTo(Math.sqrt(5), 4);
  });

  test("rounding the tokens up to a bucket changes nothing", async () => {
    const exact = await encode(packPadded(paddedRows(), CONTEXT));
    expect(await encode(packPadded(paddedRows(), CONTEXT, 64))).toEqual(exact);
  });

  test("a caption's embedding does not depend on the others", async () => {
    const all = await encode(packPadded(paddedRows(), CONTEXT));
    const second = await encode(packPadded(paddedRows().slice(CONTEXT, 2 * CONTEXT), CONTEXT));
    expect(relativeError(second, all.subarray(24, 48))).toBeLessThan(1e-6);
  });

  test("bf16 activations stay close to f32", async () => {
    const { text: half } = new ClipModel(config, { precision: "bf16" });
    for (const parameter of half.parameters()) parameter.allocate(device);
    await initializeParameters(device, half.parameters(), 7);
    const captions = packPadded(paddedRows(), CONTEXT);
    const specs = {
      tokens: spec("i32", [captions.tokens.length]),
      cuSeqlens: spec("i32", [captions.cuSeqlens.length]),
      textEnds: spec("i32", [captions.textEnds.length]),
    };
    const program = await compile(device, specs, (x) => ({ y: half.encode(x) }));
    const { y } = await program({ ...captions });
    expect(y.dtype).toBe("f32");
    expect(relativeError(y.toFloat32(), await encode(captions))).toBeLessThan(0.02);
  });
});
