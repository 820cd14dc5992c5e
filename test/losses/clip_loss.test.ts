import { compile, spec } from "../../lib/compile";
import { Device } from "../../lib/device";
import { clipLoss } from "../../lib/losses/clip_loss";
import { l2Normalize } from "../../lib/ops/l2_normalize";
import { constant } from "../../lib/tensor";

test("the published value of three pairs", async () => {
  await using device = await Device.open("cpu", { threads: 1 });
  const program = await compile(device, { image: spec("f32", [3, 3]), text: spec("f32", [3, 3]) }, (x) => {
    const { loss, imageAccuracy } = clipLoss(
      l2Normalize(x.image),
      l2Normalize(x.text),
      constant(Math.log(1 / 0.07)),
    );
    return { loss, imageAccuracy };
  });
  const { loss, imageAccuracy } = await program({
    image: Float32Array.of(1, 2, 3, 0, 1, -1, 2, 0, 1),
    text: Float32Array.of(1, 1, 3, 1, 1, -1, 2, 1, 0),
  });
  expect(loss.item()).toBeCloseTo(0.0303276, 6);
  expect(imageAccuracy.item()).toBe(1);
});
