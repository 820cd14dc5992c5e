import { EvaClip, EvaClipError } from "eva-clip";
import { expect, test } from "vitest";
import config from "./small_model.json";

test("embeds a caption", async () => {
  const model = await EvaClip.create(config, { device: "cpu", init: "fan_in" });
  const embedding = await model.encodeText("a red rectangle");
  expect(embedding).toHaveLength(32);
  expect(embedding).toBeInstanceOf(Float32Array);
  await expect(model.encodeText(3)).rejects.toBeInstanceOf(EvaClipError);
  await model.dispose();
});
