import { join } from "node:path";
import { Device } from "eva-clip";
import { readFixture } from "./fixture";
import { failures } from "./parity";
import { runFixture } from "./run_fixture";

const fixtures = [
  ...["eva02_b", "eva01_g", "eva02_e", "eva01_b_layerscale", "openai_vit"],
  ...["eva_clip_8b", "eva_clip_18b"],
];

describe("parity with the published code, or with its formulas if no package has it", () => {
  let device: Device;
  beforeAll(async () => {
    device = await Device.open("cpu", { threads: 1 });
  });
  afterAll(() => device.dispose());

  test.each(fixtures)("%s", async (name) => {
    const fixture = await readFixture(join(__dirname, "..", "fixtures", `${name}.safetensors`));
    expect(failures(await runFixture(device, fixture))).toEqual([]);
  });
});
