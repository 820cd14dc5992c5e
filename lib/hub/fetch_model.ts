import { dirname, posix } from "node:path";
import { readWeightMap } from "../io/sharded_file";
import { hubError } from "./hub_error";
import type { HubReference } from "./hub_reference";
import { type HubOptions, Repository } from "./repository";
import { chooseWeights } from "./weights_choice";

/** Files next to weights that state their configuration, preprocessing and tokenizer. */
const STATEMENTS = [
  "open_clip_config.json",
  "config.json",
  "preprocessor_config.json",
  "tokenizer_config.json",
];
/** Where no tokenizer_config.json states the tokenizer, its vocabulary does. */
const VOCABULARY = ["tokenizer.json", "vocab.json", "merges.txt"];

function statementsOf(weights: string, files: readonly string[]): string[] {
  const beside = (names: readonly string[]) =>
    names.map((name) => posix.join(posix.dirname(weights), name)).filter((path) => files.includes(path));
  const isStated = beside(["tokenizer_config.json"]).length > 0;
  return beside(isStated ? STATEMENTS : [...STATEMENTS, ...VOCABULARY]);
}

/** The shards of an index that was downloaded. */
async function shardsOf(
  index: string,
  path: string,
  files: readonly string[],
  asked: HubReference,
): Promise<string[]> {
  const names = new Set((await readWeightMap(path)).values());
  const shards = [...names].map((name) => posix.join(posix.dirname(index), name));
  const lost = shards.find((shard) => !files.includes(shard));
  if (lost === undefined) return shards;
  const message = `${index} of ${asked.repository} lists ${lost}, which the repository does not have`;
  throw hubError("ERR_EVACLIP_HUB_NOT_FOUND", message, { ...asked, file: lost });
}

/**
 * Brings the weights of a model, and what is stated beside them, into the cache of the hub.
 * @param check is given the folder of the stated files before the weights are downloaded, to refuse a model
 * @returns the path of the weights, or of their index
 * @throws EvaClipError `ERR_EVACLIP_HUB_…`, as `Repository.fetch`, and as `check`
 */
export async function fetchModel(
  asked: HubReference,
  options: HubOptions,
  check: (folder: string) => Promise<void>,
): Promise<string> {
  const repository = await Repository.open(asked, options);
  const weights = chooseWeights(repository.files, asked);
  const [statement] = await repository.fetch(statementsOf(weights, repository.files));
  if (statement !== undefined) await check(dirname(statement));
  const [path] = await repository.fetch([weights]);
  if (weights.endsWith(".index.json"))
    await repository.fetch(await shardsOf(weights, path!, repository.files, asked));
  await repository.remember();
  return path!;
}
