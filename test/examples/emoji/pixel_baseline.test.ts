import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cachedPixelBaseline, pixelBaseline } from "../../../examples/emoji/pixel_baseline";
import { splitDataSet } from "../../../examples/emoji/split";
import { Device } from "../../../lib/device";
import { syntheticDataSet } from "./synthetic_data_set";

const data = syntheticDataSet(160, ["noto", "twemoji", "emojione"]);
let device: Device;
beforeAll(async () => {
  device = await Device.open("cpu", { threads: 1 });
});
afterAll(() => device.dispose());

const split = splitDataSet(data, "twemoji", "test");

describe("pixelBaseline", () => {
  it("recognizes every concept that other styles draw alike, and none without training drawings", async () => {
    const seenShare = 60 / 160;
    const expected = { top1: seenShare, top5: seenShare, seenTop1: 1, seenTop5: 1 };
    expect(await pixelBaseline(device, data, split)).toEqual(expected);
  });

  it("is at chance if the test drawings are of other concepts", async () => {
    const pixels = Uint8Array.from(data.pixels, (value, i) => (i % 4 === 3 ? value : (i * 7919) % 251));
    expect((await pixelBaseline(device, { ...data, pixels }, split)).seenTop1).toBeLessThan(0.3);
  });

  it("is read from the cache the second time", async () => {
    const folder = await mkdtemp(join(tmpdir(), "eva-clip-baseline-"));
    const first = await cachedPixelBaseline(device, data, split, folder);
    expect(await readdir(folder)).toHaveLength(1);
    expect(await cachedPixelBaseline(device, { ...data, pixels: new Uint8Array() }, split, folder)).toEqual(
      first,
    );
    await rm(folder, { recursive: true });
  });
});
