import { readFile } from "node:fs/promises";
import { z } from "zod";
import { clipVocabulary } from "../../text/clip_vocabulary";
import { readJson } from "../../io/json_file";
import { statIfThere } from "../../io/model_path";
import type { TensorSource } from "../../io/tensor_source";
import type { ClipConfig } from "../../models/clip_config";
import { CLIP_TOKENIZER_NAME, CLIP_VOCABULARY, isClipTokenizer } from "../../models/stated_tokenizer";
import { jsonBeside, pathBeside } from "./config_files";

type Source = Pick<TensorSource, "path">;

/** CLIP's vocabulary files are 2 MB at most. */
const GREATEST_BYTES = 16 * 1024 * 1024;

const vocabulary = z.record(z.string(), z.number());
const tokenizerFile = z.object({
  normalizer: z.unknown(),
  model: z.object({
    vocab: vocabulary,
    merges: z.array(z.union([z.string(), z.tuple([z.string(), z.string()])])),
  }),
});
const tokenizerConfig = z.object({
  tokenizer_class: z.string().optional(),
  name_or_path: z.string().optional(),
});

/** Whether a vocabulary and its merges are CLIP's: the same ids, and every merge makes the token of its index. */
function isClips(vocab: Readonly<Record<string, number>>, merges: readonly string[]): boolean {
  const tokens = clipVocabulary();
  const first = CLIP_VOCABULARY - 2 - merges.length;
  return (
    first === 2 * 256 &&
    tokens.every((token, id) => vocab[token] === id) &&
    merges.every((merge, i) => merge.replace(" ", "") === tokens[first + i])
  );
}

async function isSmall(path: string): Promise<boolean> {
  const found = await statIfThere(path);
  return found?.isFile() === true && found.size <= GREATEST_BYTES;
}

/** Whether tokenizer.json is CLIP's tokenizer; undefined when it is not a tokenizer. */
async function isClipsTokenizerFile(path: string): Promise<boolean | undefined> {
  if (!(await isSmall(path))) return false;
  const json = await readJson(path);
  if (typeof json !== "object" || json === null || !("model" in json)) return undefined;
  const parsed = tokenizerFile.safeParse(json);
  if (!parsed.success) return false;
  const { normalizer, model } = parsed.data;
  const merges = model.merges.map((merge) => (typeof merge === "string" ? merge : merge.join(" ")));
  return isClips(model.vocab, merges) && JSON.stringify(normalizer ?? null).includes("Lowercase");
}

/** The same of vocab.json and merges.txt. */
async function isClipsVocabulary(vocabPath: string, mergesPath: string): Promise<boolean> {
  if (!(await isSmall(vocabPath)) || !(await isSmall(mergesPath))) return false;
  const parsed = vocabulary.safeParse(await readJson(vocabPath));
  const lines = (await readFile(mergesPath, "utf8")).split("\n").map((line) => line.trimEnd());
  const merges = lines.filter((line) => line !== "" && !line.startsWith("#version"));
  return parsed.success && isClips(parsed.data, merges);
}

/** Whether the vocabulary next to the weights is CLIP's; undefined if there is none. */
async function hasClipsVocabulary(source: Source): Promise<boolean | undefined> {
  const file = pathBeside(source, "tokenizer.json");
  const found = (await statIfThere(file)) && (await isClipsTokenizerFile(file));
  if (found !== undefined) return found;
  const [vocab, merges] = [pathBeside(source, "vocab.json"), pathBeside(source, "merges.txt")];
  return (await statIfThere(vocab)) && (await isClipsVocabulary(vocab, merges));
}

/** The tokenizer stated in files next to the weights; undefined if they state none. */
async function tokenizerBeside(source: Source): Promise<{ name: string } | "CLIP's" | undefined> {
  const { tokenizer_class: kind, name_or_path } =
    tokenizerConfig.safeParse(await jsonBeside(source, "tokenizer_config.json")).data ?? {};
  const isClip = (await hasClipsVocabulary(source)) ?? (kind && /^CLIPTokenizer(Fast)?$/.test(kind));
  if (isClip === undefined) return undefined;
  if (isClip === true) return "CLIP's";
  return {
    name:
      isClip === false && name_or_path && !isClipTokenizer(name_or_path) ? name_or_path : (kind ?? "unknown"),
  };
}

/** A configuration that names the tokenizer of the files next to the weights, if it is not CLIP's. */
export async function withStoredTokenizer(config: ClipConfig, source: Source): Promise<ClipConfig> {
  const found = await tokenizerBeside(source);
  if (found === undefined) return config;
  const { hf_tokenizer_name: _, ...text } = config.text_cfg;
  if (found !== "CLIP's") {
    return { ...config, text_cfg: { ...text, hf_tokenizer_name: found.name } };
  }
  const isLarger = text.vocab_size > CLIP_VOCABULARY;
  return { ...config, text_cfg: { ...text, ...(isLarger && { hf_tokenizer_name: CLIP_TOKENIZER_NAME }) } };
}
