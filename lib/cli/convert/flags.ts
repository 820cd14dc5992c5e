import type { LayoutName } from "../../weights/layouts/layout";
import type { WeightDType } from "../../weights/weight_dtype";
import type { StatementFlags } from "../model_flags";

export interface ConvertFlags extends StatementFlags {
  layout?: LayoutName;
  dtype?: WeightDType;
  ropeTables: boolean;
  json: boolean;
}
