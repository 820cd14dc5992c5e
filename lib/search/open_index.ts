import { statModelFile } from "../io/model_path";
import { ExactIndex } from "./exact/exact_index";
import { openIndexArguments, type OpenIndexOptions } from "./search_arguments";
import { isSqlIndex, SqlStore } from "./sql/sql_store";
import type { VectorStore } from "./vector_store";

/**
 * Opens an index that `buildIndex` or `eva-clip index` wrote; its format is recognized by its content.
 * @throws EvaClipError `ERR_EVACLIP_IO` when the file cannot be opened; `ERR_EVACLIP_CHECKPOINT_CORRUPT` for one that is
 *   damaged or no index
 */
export async function openIndex(path: string, options: OpenIndexOptions = {}): Promise<VectorStore> {
  const own = openIndexArguments(path, options);
  // Opening a named pipe would block.
  await statModelFile(path);
  return (await isSqlIndex(path)) ? SqlStore.open(path) : ExactIndex.open(path, own);
}
