import { shortened } from "../arguments";
import { EvaClipError } from "../errors";

/** The size of CLIP's vocabulary (Radford et al. 2021). */
export const CLIP_VOCABULARY = 49_408;
/** States that the tokenizer is CLIP's although the vocabulary is larger. */
export const CLIP_TOKENIZER_NAME = "openai/clip-vit-base-patch32";
const CLIP_TOKENIZERS = /^(openai|laion)\/clip-vit-/i;

/** Whether it names a repository with CLIP's tokenizer. */
export function isClipTokenizer(name: string): boolean {
  return CLIP_TOKENIZERS.test(name);
}

interface TextStatement {
  readonly vocab_size: number;
  readonly hf_tokenizer_name?: string | undefined;
  readonly tokenizer_kwargs?: Readonly<Record<string, unknown>> | undefined;
}

/** Whether an option of open_clip's tokenizer has no effect. */
function changesNothing([name, value]: readonly [string, unknown]): boolean {
  return value === undefined || value === null || value === "" || (name === "clean" && value === "lower");
}

/** Why a model was not trained with the ids of CLIP's tokenizer; undefined when it was. */
export function tokenizerProblem({ text_cfg: text }: { text_cfg: TextStatement }): string | undefined {
  const { hf_tokenizer_name: name, vocab_size, tokenizer_kwargs = {} } = text;
  if (name !== undefined && !isClipTokenizer(name)) return `its tokenizer is ${shortened(name)}, not CLIP's`;
  const changed = Object.entries(tokenizer_kwargs).find((option) => !changesNothing(option));
  if (changed) return `its tokenizer has the option ${changed[0]} ${shortened(JSON.stringify(changed[1]))}`;
  if (name !== undefined || vocab_size <= CLIP_VOCABULARY) return undefined;
  return `its vocabulary has ${vocab_size} ids, CLIP's ${CLIP_VOCABULARY}`;
}

/** @throws EvaClipError `ERR_EVACLIP_TOKENIZER` for a model that was not trained with CLIP's tokenizer */
export function checkTokenizer(config: { text_cfg: TextStatement }, where: string): void {
  const problem = tokenizerProblem(config);
  if (problem === undefined) return;
  const message =
    `${where}: the model was not trained with CLIP's tokenizer: ${problem}; pass its own as the option tokenizer, or ` +
    `state text_cfg.hf_tokenizer_name ${CLIP_TOKENIZER_NAME} if it is CLIP's after all`;
  throw new EvaClipError("ERR_EVACLIP_TOKENIZER", message, { where, problem });
}
