/** Anything a pickle holds. Tuples are arrays, dictionaries Map, sets Set; integers beyond 2^53 are bigint. */
export type PickleValue = null | boolean | number | bigint | string | object;

/** A Python list; a class of its own because only it can be appended to. */
export class PickleList {
  constructor(readonly items: PickleValue[]) {}
}

/** An object of an allowed class that is data to us: it has a name and attributes, and no behaviour. */
export class PickleObject {
  attributes: ReadonlyMap<PickleValue, PickleValue> = new Map();

  constructor(readonly className: string) {}
}

/** An allowed global. `construct` makes a value of this package's own; without it, the global is only a name. */
export class PickleGlobal {
  constructor(
    readonly qualifiedName: string,
    readonly construct?: (args: readonly PickleValue[]) => PickleValue,
  ) {}
}

/** What a kind of file may hold beside plain containers, numbers and strings. */
export interface PickleDialect {
  /** The meaning of a global, or undefined for every one that is not allowed. */
  resolve(module: string, name: string): PickleGlobal | undefined;
  /** The value that stands for a persistent id. */
  persistent(id: PickleValue): PickleValue;
}
