import { shortened } from "../arguments";
import { EvaClipError } from "../errors";

/** The ids of CLIP's tokenizer (Radford et al. 2021). */
export const CLIP_VOCABULARY = 49_408;
/** What a configuration names where the vocabulary is larger than CLIP's, and the tokenizer CLIP's all the same. */
export const CLIP_TOKENIZER_NAME = "openai/clip-vit-base-patch32";
const CLIP_TOKENIZERS = /^(openai|laion)\/clip-vit-/i;

/** Whether a name is that of a repository with CLIP's tokenizer. */
export function isClipTokenizer(name: string): boolean {
  return CLIP_TOKENIZERS.test(name);
}

interface TextStatement {
  readonly vocab_size: number;
  readonly hf_tokenizer_name?: string | undefined;
  readonly tokenizer_kwargs?: Readonly<Record<string, unknown>> | undefined;
}

/** Options of open_clip's tokenizer that change nothing. */
function changesNothing([name, value]: readonly [string, unknown]): boolean {
  return value === undefined || value === null || value === "" || (name === "clean" && value === "lower");
}

/** Why CLIP's tokenizer gives other ids than those a model was trained with; undefined when it gives the same. */
export function tokenizerProblem({ text_cfg: text }: { text_cfg: TextStatement }): string | undefined {
  const { hf_tokenizer_name: name, vocab_size, tokenizer_kwargs = {} } = text;
  if (name !== undefined && !isClipTokenizer(name)) return `its tokenizer is ${shortened(name)}, not CLIP's`;
  const changed = Object.entries(tokenizer_kwargs).find((option) => !changesNothing(option));
  if (changed) return `its tokenizer has the option ${changed[0]} ${shortened(JSON.stringify(changed[1]))}`;
  if (name !== undefined || vocab_size <= CLIP_VOCABULARY) return undefined;
  return `its vocabulary has ${vocab_size} ids, CLIP's ${CLIP_VOCABULARY}`;
}

/** @throws EvaClipError `ERR_EVACLIP_TOKENIZER` for a model whose texts CLIP's tokenizer would give other ids */
export function checkTokenizer(config: { text_cfg: TextStatement }, where: string): void {
  const problem = tokenizerProblem(config);
  if (problem === undefined) return;
  const message =
    `${where}: the model was not trained with CLIP's tokenizer: ${problem}; give its own as the option tokenizer, or ` +
    `state text_cfg.hf_tokenizer_name ${CLIP_TOKENIZER_NAME} if it is CLIP's all the same`;
  throw new EvaClipError("ERR_EVACLIP_TOKENIZER", message, { where, problem });
}
