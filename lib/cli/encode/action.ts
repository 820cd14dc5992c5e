import { EvaClipError } from "../../index";
import { loadModel, modelAndRest } from "../given_model";
import { expectLocal, noteFiles } from "../given_images";
import { printResult } from "../output";
import type { EncodeFlags } from "./flags";

interface Embedding {
  kind: "image" | "text";
  input: string;
  embedding: number[];
}

export async function encode(words: readonly string[], flags: EncodeFlags): Promise<void> {
  const { model: path, rest: images } = modelAndRest(words, flags);
  expectLocal(images);
  if (images.length + flags.text.length === 0) {
    throw new EvaClipError("ERR_EVACLIP_INVALID_ARGUMENT", "nothing to encode: give images or --text");
  }
  noteFiles("--text", flags.text);
  await using model = await loadModel(path, flags);
  const { batchSize } = flags;
  const rows = [
    ...(await model.encodeImage(images, { batchSize })),
    ...(await model.encodeText(flags.text, { batchSize })),
  ];
  const embeddings = [...images, ...flags.text].map((input, i): Embedding => {
    const kind = i < images.length ? "image" : "text";
    return { kind, input, embedding: Array.from(rows[i]!) };
  });
  const result = { embedDim: model.embedDim, setting: model.setting, embeddings };
  printResult(result, flags.json, () =>
    embeddings.map(({ input, embedding }) => `${input}\t${embedding.join(" ")}`).join("\n"),
  );
}
