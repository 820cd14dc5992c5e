// A first program with the package, as CommonJS.
const assert = require("node:assert/strict");
const { EvaClip } = require("eva-clip");
const sharp = require("sharp");
const config = require("./small_model.json");

async function main() {
  const model = await EvaClip.create(config, { device: "cpu", init: "fan_in" });
  const red = { create: { width: 40, height: 30, channels: 3, background: "#ff0000" } };
  const image = await model.encodeImage(await sharp(red).png().toBuffer());
  const text = await model.encodeText("a red rectangle");
  assert.equal(image.length, 32);
  const length = Math.hypot(...text);
  assert.ok(Math.abs(length - 1) < 1e-5, `an embedding has unit length, not ${length}`);
  console.log(`require: cosine ${(await model.similarity(image, text)).toFixed(4)}`);
  await model.dispose();
}
main();
