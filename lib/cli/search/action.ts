import { join } from "node:path";
import { invalidArgument } from "../../arguments";
import type { EvaClip } from "../../index";
import { checkIndexModel, type Match, openIndex, type VectorStore } from "../../search";
import { expectLocal } from "../given_images";
import { withModel } from "../given_model";
import { printResult, table } from "../output";
import type { SearchFlags } from "./flags";

interface Answer {
  /** The text or the image that was searched for. */
  readonly query: string;
  readonly matches: readonly Match[];
}

async function queriesOf(model: EvaClip, texts: readonly string[], images: readonly string[]) {
  const vectors = [...(await model.encodeText(texts)), ...(await model.encodeImage(images))];
  return [...texts, ...images].map((query, i) => ({ query, vector: vectors[i]! }));
}

export async function search(path: string, texts: readonly string[], flags: SearchFlags): Promise<void> {
  const { image: images, count, where } = flags;
  if (texts.length + images.length === 0)
    throw invalidArgument("nothing to search for: give a text or --image");
  expectLocal(images);
  await using index = await openIndex(path, flags.threads === undefined ? {} : { threads: flags.threads });
  const modelPath = flags.model ?? index.model;
  if (modelPath === "") throw invalidArgument(`${path} does not say which model embedded it: pass --model`);
  await withModel(modelPath, flags, async (model) => {
    await checkIndexModel(index, model);
    const queries = await queriesOf(model, texts, images);
    const found = await index.nearest(
      queries.map(({ vector }) => vector),
      { count, ...(where !== undefined && { where }) },
    );
    const answers = queries.map(({ query }, i) => ({ query, matches: found[i]! }));
    printResult(document(index, answers), flags.json, () => describeAnswers(answers));
  });
}

function document({ path, size, model, root }: VectorStore, answers: readonly Answer[]) {
  const queries = answers.map(({ query, matches }) => ({
    query,
    matches: matches.map((match) => ({ ...match, path: join(root, match.source) })),
  }));
  return { index: path, size, model, queries };
}

function describeAnswers(answers: readonly Answer[]): string {
  return answers
    .map(({ query, matches }) => {
      const rows = matches.map(({ similarity, source, caption = "" }) => [
        similarity.toFixed(4),
        source,
        caption,
      ]);
      const own = table(["similarity", "image", "caption"], rows);
      return answers.length === 1 ? own : `${query}\n${own}`;
    })
    .join("\n\n");
}
