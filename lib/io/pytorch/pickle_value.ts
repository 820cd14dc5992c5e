/** Any value of a pickle. Tuples are arrays, dictionaries Map, sets Set; integers above 2^53 are bigint. */
export type PickleValue = null | boolean | number | bigint | string | object;

/** A Python list; distinct from a tuple, because only lists can be appended to. */
export class PickleList {
  constructor(readonly items: PickleValue[]) {}
}

/** An object of an allowed class, reduced to data: the name of its class and its attributes. */
export class PickleObject {
  attributes: ReadonlyMap<PickleValue, PickleValue> = new Map();

  constructor(readonly className: string) {}
}

/** An allowed global. `construct` builds the value that replaces it; without it the global is only a name. */
export class PickleGlobal {
  constructor(
    readonly qualifiedName: string,
    readonly construct?: (args: readonly PickleValue[]) => PickleValue,
  ) {}
}

/** The values that a kind of file may contain in addition to plain containers, numbers and strings. */
export interface PickleDialect {
  /** An allowed global, or undefined. */
  resolve(module: string, name: string): PickleGlobal | undefined;
  /** The value of a persistent id. */
  persistent(id: PickleValue): PickleValue;
}
