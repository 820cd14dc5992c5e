import type { StatementFlags } from "../model_flags";

export interface InspectFlags extends StatementFlags {
  json: boolean;
}
