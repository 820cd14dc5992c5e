const { EvaClip } = require("eva-clip");
const config = require("./small_model.json");

test("embeds a caption", async () => {
  const model = await EvaClip.create(config, { device: "cpu", init: "fan_in" });
  const embedding = await model.encodeText("a red rectangle");
  expect(embedding).toHaveLength(32);
  expect(Math.hypot(...embedding)).toBeCloseTo(1, 5);
  await expect(model.encodeText(3)).rejects.toMatchObject({ code: "ERR_EVACLIP_INVALID_ARGUMENT" });
  await model.dispose();
});
