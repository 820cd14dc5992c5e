import type { VectorStorage } from "../../search";
import type { DatasetFlags } from "../dataset_flags";
import type { ModelFlags } from "../model_flags";

export interface IndexFlags extends ModelFlags, DatasetFlags {
  out: string;
  storage: VectorStorage;
  batchSize: number;
  root?: string;
}
