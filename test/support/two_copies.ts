// Uses this copy of the library and another one, with another copy of the addon, in one process.
//   node two_copies.js FOLDER_OF_THE_OTHER ADDON_OF_THE_OTHER
import { join } from "node:path";
import { tinyConfig, tinyTokenizer } from "./tiny_clip";

type Library = typeof import("../../lib/index");

const [other = "", addon = ""] = process.argv.slice(2);

async function embed(library: Library): Promise<{ embedding: Float32Array; error: unknown }> {
  await using model = await library.EvaClip.create(tinyConfig, {
    ...{ device: "cpu", threads: 1, init: "fan_in", tokenizer: tinyTokenizer },
  });
  const [embedding, [again]] = await Promise.all([model.encodeText("abc"), model.encodeText(["abc"])]);
  if (String(embedding) !== String(again)) throw new Error("the same caption has two embeddings");
  const error: unknown = await model.encodeImage("missing.png").catch((reason: unknown) => reason);
  return { embedding, error };
}

async function main(): Promise<void> {
  const first: Library = require("../../lib/index");
  const ours = await embed(first);
  process.env.EVA_CLIP_NATIVE_PATH = addon;
  const second: Library = require(join(other, "lib", "index"));
  const [theirs, oursAgain] = await Promise.all([embed(second), embed(first)]);
  await using device = await second.Device.open("cpu", { threads: 1 });
  const refused: unknown = await first.EvaClip.create(tinyConfig, {
    device: device as never,
    tokenizer: tinyTokenizer,
  }).catch((reason: unknown) => reason);
  console.log(
    JSON.stringify({
      sameClass: first.EvaClipError === second.EvaClipError,
      sameEmbeddings: [theirs, oursAgain].every(
        ({ embedding }) => String(embedding) === String(ours.embedding),
      ),
      isInstance: theirs.error instanceof first.EvaClipError,
      isRecognized: first.isEvaClipError(theirs.error, "ERR_EVACLIP_DATA"),
      refused: (refused as Error).message,
    }),
  );
}

void main();
