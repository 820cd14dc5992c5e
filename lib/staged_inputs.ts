import type { NativeProgram, NativeStagedInputs } from "./native";

/**
 * Inputs of one later run of a program, from its method `stage`. A GPU copies large ones while it works. The run that is
 * called with them uses them up; `dispose` gives them up without a run.
 */
export class StagedInputs implements Disposable {
  /** @internal Made by `stage`. */
  constructor(
    /** @internal */
    readonly native: NativeStagedInputs,
    /** @internal */
    readonly program: NativeProgram,
    /** The names of the inputs. */
    readonly names: readonly string[],
  ) {}

  /** Gives up inputs that no run has used. Idempotent. */
  dispose(): void {
    this.native.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
