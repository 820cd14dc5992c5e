import type { DatasetFlags } from "../dataset_flags";
import type { ModelFlags } from "../model_flags";

export interface EvaluateFlags extends ModelFlags, DatasetFlags {
  valData?: string;
  imagenetVal?: string;
  classnames?: string;
  templates: string;
  batchSize: number;
}
