import { compile, type Program } from "../compile";
import type { Device } from "../device";
import { castUpdate } from "../ops/elementwise";
import { Parameter } from "../parameter";
import { stackParameters } from "../parameter_stack";
import type { Operand } from "../tensor";

interface Copy {
  readonly parameter: Parameter;
  /** The version of the weight that the copy has. */
  version: number;
}

/**
 * bf16 copies of f32 weights, which GEMMs in bf16 read. The optimizer writes a copy together with its weight; weights
 * that were written otherwise, such as loaded ones, are rounded by `refresh`.
 */
export class WeightCopies {
  readonly #copies = new Map<Parameter, Copy>();

  constructor(private readonly device: Device) {}

  /** Copies of the weights that one GEMM reads, next to each other in memory; undefined for what is not a parameter in f32. */
  of(weights: readonly Operand[]): readonly Parameter[] | undefined {
    const parameters = weights.filter((weight) => weight instanceof Parameter && weight.dtype === "f32");
    if (parameters.length < weights.length) return undefined;
    const missing = (parameters as Parameter[]).filter((parameter) => !this.#copies.has(parameter));
    const made = missing.map(({ name, shape, storedShape }) => new Parameter(name, shape, { storedShape }));
    if (made.length > 1) stackParameters(made);
    made.forEach((copy, i) => {
      copy.allocate(this.device, "bf16");
      this.#copies.set(missing[i]!, { parameter: copy, version: -1 });
    });
    return (parameters as Parameter[]).map((parameter) => this.#copies.get(parameter)!.parameter);
  }

  copyOf(weight: Parameter): Parameter | undefined {
    return this.#copies.get(weight)?.parameter;
  }

  /** Rounds the weights whose content is newer than their copies, in order with the device's other work. */
  async refresh(): Promise<void> {
    const stale = [...this.#copies].filter(([weight, { version }]) => version !== weight.version);
    if (stale.length === 0) return;
    const weights = stale.map(([weight]) => weight);
    const program: Program = await compile(this.device, {}, () => {
      castUpdate(
        weights,
        stale.map(([, { parameter }]) => parameter),
      );
      return {};
    });
    this.updated(weights);
    await program({});
    program.dispose();
  }

  /** A program was started that writes these weights and their copies. */
  updated(weights: readonly Parameter[]): void {
    for (const weight of weights) {
      const copy = this.#copies.get(weight);
      if (copy) copy.version = weight.version;
    }
  }

  dispose(): void {
    for (const { parameter } of this.#copies.values()) parameter.dispose();
    this.#copies.clear();
  }
}
