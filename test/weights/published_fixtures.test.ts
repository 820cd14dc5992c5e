import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  CLIP_PREPROCESSING,
  type ClipConfigInput,
  Device,
  EvaClip,
  type LoadOptions,
  parseClipConfig,
} from "eva-clip";
import { writeSafetensors } from "../../lib/io/safetensors";
import { type Fixture, readFixture, tensorOf, tensorsBelow } from "../parity/fixture";
import { relativeError } from "../parity/relative_error";

const fixtures = join(__dirname, "..", "fixtures");
/** Half the distance of adjacent numbers. Features sum up many rounded products, whose errors largely cancel. */
const ROUNDING = { f16: 2 ** -11, bf16: 2 ** -8 };
const GROWTH = 4;

describe("checkpoints of the published code reproduce its features", () => {
  let device: Device;
  let folder: string;
  beforeAll(async () => {
    device = await Device.open("cpu", { threads: 1 });
    folder = await mkdtemp(join(tmpdir(), "eva-clip-fixtures-"));
  });
  afterAll(async () => {
    await device.dispose();
    await rm(folder, { recursive: true });
  });

  async function errorOf(path: string, fixture: Fixture, options: LoadOptions): Promise<number> {
    await using clip = await EvaClip.load(path, { device, ...options });
    const images = tensorOf(fixture, "in/images").data as Float32Array;
    const tokens = tensorOf(fixture, "in/tokens").data as Int32Array;
    const batch = tokens.length / clip.contextLength;
    const unscaled = { normalize: false };
    return Math.max(
      relativeError(
        await clip.encodePixels(images, batch, unscaled),
        tensorOf(fixture, "eval/image_features").data,
      ),
      relativeError(
        await clip.encodeTokens(tokens, batch, unscaled),
        tensorOf(fixture, "eval/text_features").data,
      ),
    );
  }

  test.each([
    ["eva02_b_fp16.pt", "f16"],
    ["eva02_b_fp16_wrapped.pt", "f16"],
    ["eva02_b_bf16.pt", "bf16"],
  ] as const)("%s within the rounding of %s, and not nearer", async (name, type) => {
    const fixture = await readFixture(join(fixtures, "eva02_b.safetensors"));
    const config = fixture.config as ClipConfigInput;
    const error = await errorOf(join(fixtures, name), fixture, { config });
    expect(error).toBeLessThan(GROWTH * ROUNDING[type]);
    expect(error).toBeGreaterThan(ROUNDING[type] / GROWTH);
  });

  test("not with a bit of their weights changed", async () => {
    const { config } = await readFixture(join(fixtures, "eva02_b.safetensors"));
    const path = join(folder, "damaged.pt");
    const bytes = await readFile(join(fixtures, "eva02_b_fp16.pt"));
    bytes[bytes.length >> 1]! ^= 1;
    await writeFile(path, bytes);
    await expect(EvaClip.load(path, { device, config: config as ClipConfigInput })).rejects.toMatchObject({
      code: "ERR_EVACLIP_CHECKPOINT_CORRUPT",
      message: expect.stringMatching(/damaged\.pt is damaged: ".*\/data\/\d+" has the checksum/),
    });
  });

  test("openai_vit through its own layout", async () => {
    const fixture = await readFixture(join(fixtures, "openai_vit.safetensors"));
    const weights = [...tensorsBelow(fixture, "weights/")];
    const path = join(folder, "openai_vit.safetensors");
    await writeSafetensors(
      path,
      weights.map(([name, { shape, data }]) => ({ name, dtype: "F32", shape, data })),
    );
    const { vision_cfg, text_cfg } = parseClipConfig(fixture.config);
    const head_width = vision_cfg.head_width as number;
    const heads = { vision_cfg: { head_width }, text_cfg: { heads: text_cfg.heads } };
    const error = await errorOf(path, fixture, {
      config: heads,
      quickGelu: true,
      preprocessing: CLIP_PREPROCESSING,
    });
    expect(error).toBeLessThan(2e-5);
  });
});
