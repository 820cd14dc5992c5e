import { invalidArgument } from "../../arguments";
import type { EvaClip } from "../../index";
import { expectLocal, noteFiles } from "../given_images";
import { modelAndRest, settingOf, withModel } from "../given_model";
import { printResult, say } from "../output";
import { type Embedding, writeEmbeddings } from "./embeddings_file";
import type { EncodeFlags } from "./flags";

/** The embeddings of images, then of captions, a batch at a time. */
async function* embeddingsOf(
  model: EvaClip,
  images: readonly string[],
  { text, batchSize }: EncodeFlags,
): AsyncGenerator<Embedding> {
  for (let i = 0; i < images.length; i += batchSize) {
    const inputs = images.slice(i, i + batchSize);
    const rows = await model.encodeImage(inputs, { batchSize });
    for (const [j, input] of inputs.entries()) yield { kind: "image", input, values: rows[j]! };
  }
  for (let i = 0; i < text.length; i += batchSize) {
    const inputs = text.slice(i, i + batchSize);
    const rows = await model.encodeText(inputs, { batchSize });
    for (const [j, input] of inputs.entries()) yield { kind: "text", input, values: rows[j]! };
  }
}

export async function encode(words: readonly string[], flags: EncodeFlags): Promise<void> {
  const { model: path, rest: images } = modelAndRest(words, flags);
  expectLocal(images);
  const rows = images.length + flags.text.length;
  if (rows === 0) throw invalidArgument("nothing to encode: give images or --text");
  noteFiles("--text", flags.text);
  await withModel(path, flags, async (model) => {
    const { embedDim } = model;
    const setting = settingOf(model);
    const embeddings = embeddingsOf(model, images, flags);
    if (flags.out !== undefined) {
      await writeEmbeddings(flags.out, { rows, columns: embedDim }, embeddings);
      say(`written: ${flags.out}, ${rows} × ${embedDim}`);
      if (flags.json) printResult({ embedDim, setting, rows, file: flags.out }, true, String);
      return;
    }
    const found: { kind: string; input: string; embedding: number[] }[] = [];
    for await (const { kind, input, values } of embeddings)
      found.push({ kind, input, embedding: Array.from(values) });
    printResult({ embedDim, setting, embeddings: found }, flags.json, () =>
      found.map(({ input, embedding }) => `${input}\t${embedding.join(" ")}`).join("\n"),
    );
  });
}
