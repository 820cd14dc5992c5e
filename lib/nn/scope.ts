import { EvaClipError } from "../errors";
import { type Initializer, Parameter } from "../parameter";
import type { ParameterRole } from "../parameter_role";
import type { Module } from "./module";

/** The position of a scope in its model; both undefined outside the towers. */
export type ScopePlace = Pick<ParameterRole, "tower" | "layer">;

export interface ScopedParameter extends Omit<ParameterRole, keyof ScopePlace> {
  readonly initial?: Initializer;
  readonly storedShape?: readonly number[];
}

/**
 * Where a module is declared: the prefix of its parameters' names, and their tower and layer. A module passes
 * `scope.at(part)` to its parts, and states the rest of a parameter's role itself.
 */
export class Scope {
  /** Everything declared in scopes of the same root, by name. */
  private readonly declared: Map<string, Parameter>;

  /** @param name `""` at the root of a model. */
  constructor(
    readonly name = "",
    readonly place: ScopePlace = {},
    root?: Scope,
  ) {
    this.declared = root?.declared ?? new Map();
  }

  /** The scope of a part, in the same place unless another one is given. */
  at(part: string, place: ScopePlace = {}): Scope {
    return new Scope(this.nameOf(part), { ...this.place, ...place }, this);
  }

  /** @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` when the model already has a parameter of that name */
  parameter(key: string, shape: readonly number[], given: ScopedParameter = {}): Parameter {
    const { initial, storedShape, ...traits } = given;
    const name = this.nameOf(key);
    const parameter = new Parameter(name, shape, {
      initial,
      storedShape,
      role: { ...this.place, ...traits },
    });
    if (this.declared.has(name)) {
      throw new EvaClipError("ERR_EVACLIP_INVALID_ARGUMENT", `two parameters are named ${name}`, { name });
    }
    this.declared.set(name, parameter);
    return parameter;
  }

  /**
   * Checks that a module holds every parameter that was declared in this scope's model, so that none is left out of
   * training and files.
   * @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` naming those it does not reach
   */
  checkHeldBy(module: Module): void {
    const held = new Set(module.parameters());
    const lost = [...this.declared.values()].filter((parameter) => !held.has(parameter));
    if (lost.length === 0) return;
    const names = lost.map(({ name }) => name);
    const message =
      `parameters() of ${module.constructor.name} does not list ${names.slice(0, 5).join(", ")}` +
      `${names.length > 5 ? ` and ${names.length - 5} more` : ""}: keep parameters and modules in fields or arrays that are ` +
      "not #private, or override parameters()";
    throw new EvaClipError("ERR_EVACLIP_INVALID_ARGUMENT", message, { names });
  }

  private nameOf(part: string): string {
    return this.name === "" || part === "" ? this.name + part : `${this.name}.${part}`;
  }
}
