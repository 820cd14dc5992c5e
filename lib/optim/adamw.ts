import { adamwUpdate, type UpdateInputs } from "../ops/optimizer";
import { Optimizer } from "./optimizer";

/** AdamW: Adam with decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2). */
export class AdamW extends Optimizer {
  override describe(): ReturnType<Optimizer["describe"]> {
    return { ...super.describe(), optimizer: "adamw" };
  }

  protected apply(inputs: UpdateInputs): undefined {
    adamwUpdate(inputs, this.settings);
  }
}
