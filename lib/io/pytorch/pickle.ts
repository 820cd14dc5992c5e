import type { Fail } from "../checkpoint_error";
import { PickleCursor } from "./pickle_cursor";
import { type PickleDialect, PickleGlobal, PickleList, PickleObject, type PickleValue } from "./pickle_value";

/**
 * Bounds the time and memory of a pickle: each instruction creates at most one value and copies none. A checkpoint has
 * about 25 per tensor.
 */
const MAX_INSTRUCTIONS = 1_000_000;
const MAX_NAME_SHOWN = 200;
const PROTO = 0x80;
const STOP = 0x2e;
const PROTOCOLS = { least: 2, greatest: 5 };

class PickleMachine {
  readonly stack: PickleValue[] = [];
  private readonly marks: number[] = [];
  private readonly memo = new Map<number, PickleValue>();

  constructor(
    readonly cursor: PickleCursor,
    readonly dialect: PickleDialect,
    private readonly fail: Fail,
  ) {}

  run(): PickleValue {
    const found = this.cursor.uint8() === PROTO ? this.cursor.uint8() : 0;
    if (found < PROTOCOLS.least || found > PROTOCOLS.greatest) {
      throw this.corrupt(
        `has a pickle of protocol ${found}, expected ${PROTOCOLS.least} to ${PROTOCOLS.greatest}`,
      );
    }
    for (let count = 0; count < MAX_INSTRUCTIONS; count++) {
      const code = this.cursor.uint8();
      if (code === STOP) return this.result();
      const instruction = INSTRUCTIONS.get(code);
      if (instruction === undefined) {
        throw this.corrupt(
          `has a pickle with the instruction 0x${code.toString(16)}, which torch.save does not write`,
        );
      }
      instruction(this);
    }
    throw this.corrupt(`has a pickle of more than ${MAX_INSTRUCTIONS} instructions`);
  }

  corrupt(problem: string): Error {
    return this.fail("CORRUPT", `${problem} (before byte ${this.cursor.offset} of the pickle)`);
  }

  push(value: PickleValue): void {
    this.stack.push(value);
  }

  /** The top of the stack, above the last mark. */
  top(): PickleValue {
    if (this.stack.length <= (this.marks.at(-1) ?? 0))
      throw this.corrupt("has a pickle that pops from an empty stack");
    return this.stack.at(-1)!;
  }

  pop(): PickleValue {
    const value = this.top();
    this.stack.pop();
    return value;
  }

  popTuple(): readonly PickleValue[] {
    const value = this.pop();
    if (!Array.isArray(value)) throw this.corrupt("has a pickle with arguments that are not a tuple");
    return value;
  }

  mark(): void {
    this.marks.push(this.stack.length);
  }

  popToMark(): PickleValue[] {
    const mark = this.marks.pop();
    if (mark === undefined) throw this.corrupt("has a pickle that pops to a mark it never set");
    return this.stack.splice(mark);
  }

  /** The last `count` values as a tuple. */
  tuple(count: number): void {
    const items: PickleValue[] = new Array(count);
    for (let i = count - 1; i >= 0; i--) items[i] = this.pop();
    this.push(items);
  }

  put(index: number): void {
    this.memo.set(index, this.top());
  }

  memoize(): void {
    this.put(this.memo.size);
  }

  get(index: number): void {
    const value = this.memo.get(index);
    if (value === undefined)
      throw this.corrupt(`has a pickle that gets value ${index} of its memo, which it never put there`);
    this.push(value);
  }

  append(items: readonly PickleValue[]): void {
    const target = this.top();
    if (target instanceof PickleObject) return;
    if (!(target instanceof PickleList))
      throw this.corrupt("has a pickle that appends to a value that is not a list");
    for (const item of items) target.items.push(item);
  }

  addToSet(items: readonly PickleValue[]): void {
    const target = this.top();
    if (!(target instanceof Set)) throw this.corrupt("has a pickle that adds to a value that is not a set");
    for (const item of items) target.add(item);
  }

  setItems(pairs: readonly PickleValue[]): void {
    const target = this.top();
    if (target instanceof PickleObject) return;
    if (!(target instanceof Map))
      throw this.corrupt("has a pickle that sets an item of a value that is not a dictionary");
    if (pairs.length % 2 !== 0) throw this.corrupt("has a pickle with a key that has no value");
    for (let i = 0; i < pairs.length; i += 2) target.set(pairs[i]!, pairs[i + 1]!);
  }

  global(module: string, name: string): void {
    this.push(this.resolve(module, name));
  }

  stackGlobal(): void {
    const name = this.pop();
    const module = this.pop();
    if (typeof module !== "string" || typeof name !== "string") {
      throw this.corrupt("has a pickle with a global whose name is not a string");
    }
    this.global(module, name);
  }

  /** REDUCE, NEWOBJ and NEWOBJ_EX: all three construct a value from arguments. */
  construct(args: readonly PickleValue[]): void {
    const target = this.pop();
    const name = target instanceof PickleGlobal ? target.qualifiedName : "a value that is not a class";
    if (!(target instanceof PickleGlobal) || target.construct === undefined) {
      throw this.fail("UNSAFE", `asks to call ${name}: refused, nothing was run`, { global: name });
    }
    this.push(target.construct(args));
  }

  /** Sets the attributes of an object. Those of an OrderedDict (its `_metadata`) are ignored. */
  build(): void {
    const state = this.pop();
    const target = this.top();
    if (target instanceof PickleObject) {
      if (state instanceof Map) target.attributes = state;
    } else if (!(target instanceof Map)) {
      throw this.fail("UNSAFE", "asks to set the state of a value without one: refused, nothing was run");
    }
  }

  /** INST of protocol 1, always refused: parsed only for the name in the error. */
  instance(module: string, name: string): never {
    const { qualifiedName } = this.resolve(module, name);
    throw this.fail("UNSAFE", `asks to call ${qualifiedName}: refused, nothing was run`, {
      global: qualifiedName,
    });
  }

  private resolve(module: string, name: string): PickleGlobal {
    const found = this.dialect.resolve(module, name);
    if (found !== undefined) return found;
    const global = `${module}.${name}`.slice(0, MAX_NAME_SHOWN);
    throw this.fail(
      "UNSAFE",
      `asks for ${global}, which is not allowed in checkpoints: refused, nothing was run ` +
        "(a file saved with torch.save(model.state_dict(), …) contains only allowed data)",
      { global },
    );
  }

  private result(): PickleValue {
    if (this.stack.length !== 1 || this.marks.length > 0 || this.cursor.remaining > 0) {
      throw this.corrupt(
        `has a pickle that ends with ${this.stack.length} values and ${this.cursor.remaining} bytes left, expected 1 and 0`,
      );
    }
    return this.stack[0]!;
  }
}

/** Every instruction but PROTO and STOP, by its opcode. */
const INSTRUCTIONS: ReadonlyMap<number, (m: PickleMachine) => void> = new Map(
  Object.entries<(m: PickleMachine) => void>({
    "(": (m) => m.mark(),
    "0": (m) => m.pop(),
    "1": (m) => m.popToMark(),
    "2": (m) => m.push(m.top()),
    N: (m) => m.push(null),
    "\x88": (m) => m.push(true),
    "\x89": (m) => m.push(false),
    K: (m) => m.push(m.cursor.uint8()),
    M: (m) => m.push(m.cursor.uint16()),
    J: (m) => m.push(m.cursor.int32()),
    G: (m) => m.push(m.cursor.float64()),
    "\x8a": (m) => m.push(m.cursor.integer(m.cursor.uint8())),
    "\x8b": (m) => m.push(m.cursor.integer(m.cursor.uint32())),
    X: (m) => m.push(m.cursor.string(m.cursor.uint32())),
    "\x8c": (m) => m.push(m.cursor.string(m.cursor.uint8())),
    "\x8d": (m) => m.push(m.cursor.string(m.cursor.uint64())),
    T: (m) => m.push(m.cursor.string(m.cursor.uint32())),
    U: (m) => m.push(m.cursor.string(m.cursor.uint8())),
    B: (m) => m.push(m.cursor.bytes(m.cursor.uint32())),
    C: (m) => m.push(m.cursor.bytes(m.cursor.uint8())),
    "\x8e": (m) => m.push(m.cursor.bytes(m.cursor.uint64())),
    "\x96": (m) => m.push(m.cursor.bytes(m.cursor.uint64())),
    ")": (m) => m.push([]),
    t: (m) => m.push(m.popToMark()),
    "\x85": (m) => m.tuple(1),
    "\x86": (m) => m.tuple(2),
    "\x87": (m) => m.tuple(3),
    "]": (m) => m.push(new PickleList([])),
    l: (m) => m.push(new PickleList(m.popToMark())),
    a: (m) => m.append([m.pop()]),
    e: (m) => m.append(m.popToMark()),
    "}": (m) => m.push(new Map()),
    d: (m) => {
      const pairs = m.popToMark();
      m.push(new Map());
      m.setItems(pairs);
    },
    s: (m) => {
      const value = m.pop();
      m.setItems([m.pop(), value]);
    },
    u: (m) => m.setItems(m.popToMark()),
    "\x8f": (m) => m.push(new Set()),
    "\x90": (m) => m.addToSet(m.popToMark()),
    "\x91": (m) => m.push(new Set(m.popToMark())),
    q: (m) => m.put(m.cursor.uint8()),
    r: (m) => m.put(m.cursor.uint32()),
    "\x94": (m) => m.memoize(),
    h: (m) => m.get(m.cursor.uint8()),
    j: (m) => m.get(m.cursor.uint32()),
    Q: (m) => m.push(m.dialect.persistent(m.pop())),
    c: (m) => m.global(m.cursor.line(), m.cursor.line()),
    "\x93": (m) => m.stackGlobal(),
    i: (m) => m.instance(m.cursor.line(), m.cursor.line()),
    R: (m) => m.construct(m.popTuple()),
    "\x81": (m) => m.construct(m.popTuple()),
    "\x92": (m) => {
      m.pop();
      m.construct(m.popTuple());
    },
    b: (m) => m.build(),
    /** FRAME: only the number of bytes that follow, for readers of streams. */
    "\x95": (m) => m.cursor.uint64(),
  }).map(([code, instruction]) => [code.charCodeAt(0), instruction]),
);

/**
 * Reads a pickle of protocol 2 to 5 as data. Globals are resolved by `dialect`, which refuses the file for any other;
 * nothing that the file names is ever imported or called. Values may refer to each other but are never copied.
 *
 * @throws EvaClipError ERR_EVACLIP_CHECKPOINT_UNSAFE naming the module and name of a refused global;
 *   ERR_EVACLIP_CHECKPOINT_CORRUPT with what was expected, and before which byte
 */
export function unpickle(bytes: Uint8Array, dialect: PickleDialect, fail: Fail): PickleValue {
  return new PickleMachine(new PickleCursor(bytes, fail), dialect, fail).run();
}
