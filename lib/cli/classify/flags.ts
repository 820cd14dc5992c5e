import type { ModelFlags } from "../model_flags";

export interface ClassifyFlags extends ModelFlags {
  labels: string[];
  labelsFile?: string;
  templates?: string;
  topK: number;
}
