import { EvaClip } from "../../lib/clip/eva_clip";
import { tinyConfig, tinyTokenizer } from "../support/tiny_clip";

const BATCH = 40; // more than one part
const PIXELS = BATCH * 16 * 16 * 3;
const options = { device: "cpu", threads: 1, tokenizer: tinyTokenizer, seed: 4 } as const;

test("encodePixels has read its pixels when it returns", async () => {
  await using model = await EvaClip.create(tinyConfig, options);
  const pixels = () => Uint8Array.from({ length: PIXELS }, (_, i) => (i * 7) % 251);
  const expected = await model.encodePixels(pixels(), BATCH);
  const [overwritten, transferred] = [pixels(), pixels()];
  const calls = [model.encodePixels(overwritten, BATCH), model.encodePixels(transferred, BATCH)];
  overwritten.fill(0);
  structuredClone(transferred.buffer, { transfer: [transferred.buffer] });
  for (const embeddings of await Promise.all(calls)) expect(embeddings).toEqual(expected);
  const shared = new Uint8Array(new SharedArrayBuffer(PIXELS));
  shared.set(pixels());
  expect(await model.encodePixels(shared, BATCH)).toEqual(expected);
});
