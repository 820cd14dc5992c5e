import { runInNewContext } from "node:vm";
import { MessageChannel } from "node:worker_threads";
import type { CounterRandom } from "../../lib/random";
import { Parameter } from "../../lib/parameter";

/** A list of arguments, one of whose places was changed, and what was done, in words. */
export interface Mutation {
  readonly given: readonly unknown[];
  readonly what: string;
}

function detached(): Uint8Array {
  const bytes = new Uint8Array(64);
  const { port1 } = new MessageChannel();
  port1.postMessage(bytes.buffer, [bytes.buffer]);
  port1.close();
  return bytes;
}

function shrunk(): Float32Array {
  // Resizable buffers are newer than the types that this project compiles against.
  const Resizable = ArrayBuffer as unknown as new (
    bytes: number,
    options: { maxByteLength: number },
  ) => ArrayBuffer & { resize(bytes: number): void };
  const buffer = new Resizable(64, { maxByteLength: 128 });
  const view = new Float32Array(buffer, 0, 16);
  buffer.resize(8);
  return view;
}

/** What a function of the caller's throws comes back as it is. */
export class OwnError extends Error {}

function fail(): never {
  throw new Error("thrown by what was given");
}

const failing: ProxyHandler<object> = { get: fail, has: fail, ownKeys: fail, getPrototypeOf: fail };

function revoked(): unknown {
  const { proxy, revoke } = Proxy.revocable<unknown[]>([], {});
  revoke();
  return proxy;
}

/** The same fields, of which one throws when it has been read a few times. */
function failingLater(value: object): object {
  let reads = 0;
  return new Proxy(value, {
    get: (of, key) => (reads++ > 3 ? fail() : Reflect.get(of, key)),
  });
}

class OwnList extends Array<unknown> {
  override [Symbol.iterator](): ArrayIterator<unknown> {
    return fail();
  }
}

/** What is done to an object or a list that is right, so that reading it is what goes wrong, or should not. */
const DISGUISES: Readonly<Record<string, (value: object) => unknown>> = {
  "behind a Proxy": (value) => new Proxy(value, {}),
  "behind a Proxy that throws": (value) => new Proxy(value, failing),
  "behind a Proxy that throws later": failingLater,
  "without prototype": (value) => (Array.isArray(value) ? value : Object.assign(Object.create(null), value)),
  frozen: (value) => Object.freeze(Array.isArray(value) ? [...value] : { ...value }),
  "as a list of a class": (value) => (Array.isArray(value) ? OwnList.from(value) : value),
  "with a hole": (value) =>
    Array.isArray(value) ? Object.assign(new Array(value.length + 1), value) : value,
  "with a getter that throws": (value) => {
    const [key = "0"] = Object.keys(value);
    const copy = Array.isArray(value) ? [...value] : { ...value };
    return Object.defineProperty(copy, key, { get: fail, enumerable: true, configurable: true });
  },
  "with a symbol for a key": (value) =>
    Object.assign(Array.isArray(value) ? [...value] : { ...value }, { [Symbol("key")]: 1 }),
};

/** Values that a public function meets when somebody makes a mistake. Made fresh, because some are used up. */
const VALUES: Readonly<Record<string, () => unknown>> = {
  undefined: () => undefined,
  null: () => null,
  true: () => true,
  zero: () => 0,
  "minus one": () => -1,
  "one and a half": () => 1.5,
  NaN: () => Number.NaN,
  Infinity: () => Number.POSITIVE_INFINITY,
  "2 ** 31": () => 2 ** 31,
  "2 ** 32 + 1": () => 2 ** 32 + 1,
  "2 ** 53": () => 2 ** 53,
  "1e308": () => 1e308,
  "a bigint": () => 3n,
  "a symbol": () => Symbol("mistake"),
  "the empty string": () => "",
  "a string": () => "mistake",
  "a number in a string": () => "3",
  "a long string": () => "x".repeat(200_000),
  "a null character": () => "a\0b",
  "a lone surrogate": () => "\ud800",
  __proto__: () => "__proto__",
  "a missing path": () => "missing/at/all",
  "a device file": () => "/dev/zero",
  "an empty array": () => [],
  "an array of arrays": () => [[], [[]]],
  "a sparse array": () => new Array(5),
  "a long array": () => new Array(10_000).fill("x"),
  "an empty object": () => ({}),
  "an object without prototype": () => Object.create(null),
  "a circular object": () => {
    const circle: Record<string, unknown> = {};
    circle.self = circle;
    return circle;
  },
  "an object whose fields throw": () => new Proxy({}, failing),
  "a revoked Proxy": revoked,
  "a list of a revoked Proxy": () => [revoked()],
  "an object that throws when it becomes text": () => ({
    toString: fail,
    valueOf: fail,
    [Symbol.toPrimitive]: fail,
  }),
  "an object with a getter that throws": () =>
    Object.defineProperty({}, "shape", { get: fail, enumerable: true }),
  "an object whose class throws": () =>
    Object.create(Object.defineProperty({}, "constructor", { get: fail })),
  "an object that says it is a Float32Array": () => ({
    length: 6,
    byteLength: 24,
    [Symbol.toStringTag]: "Float32Array",
  }),
  "an object that has the prototype of a Float32Array": () => Object.create(Float32Array.prototype),
  "an object that has the prototype of a Parameter": () => Object.create(Parameter.prototype),
  "an iterable that throws": () => ({ [Symbol.iterator]: fail, [Symbol.asyncIterator]: fail }),
  "a list with holes": () => Object.assign(new Array(4), { 1: "x" }),
  "a list that is as long as can be": () => new Array(2 ** 32 - 1),
  "a list of a class": () => OwnList.from(["x", 1]),
  "a Float32Array of another realm": () => runInNewContext("new Float32Array(6)"),
  "a list of another realm": () => runInNewContext("['x', 1]"),
  "an object of another realm": () => runInNewContext("({ a: 1 })"),
  "an invalid date": () => new Date(Number.NaN),
  "a promise that rejects": () => {
    const rejecting = Promise.reject(new Error("of what was given"));
    rejecting.catch(() => undefined);
    return rejecting;
  },
  "a function that throws": () => () => {
    throw new OwnError("thrown by a function that was given");
  },
  "a function that gives a symbol": () => () => Symbol("given"),
  "an async function": () => async () => 1,
  "a map": () => new Map([["a", 1]]),
  "a set": () => new Set(["a"]),
  "a date": () => new Date(0),
  "a regular expression": () => /a/,
  "an error": () => new Error("a value, not thrown"),
  "a promise": () => Promise.resolve(1),
  "a function": () => () => undefined,
  "a class": () => class Mistake {},
  "a String object": () => new String("text"),
  "a frozen object": () => Object.freeze({ a: 1 }),
  "an empty Uint8Array": () => new Uint8Array(0),
  "a Uint8Array": () => new Uint8Array(7),
  "a Float32Array": () => new Float32Array(5),
  "a Float64Array": () => new Float64Array(4),
  "a BigInt64Array": () => new BigInt64Array(4),
  "a DataView": () => new DataView(new ArrayBuffer(8)),
  "an ArrayBuffer": () => new ArrayBuffer(8),
  "shared memory": () => new Uint8Array(new SharedArrayBuffer(48)),
  "a detached array": detached,
  "a shrunk array": shrunk,
  "NaN in a Float32Array": () => new Float32Array(16).fill(Number.NaN),
};

const isPlain = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;

type Path = readonly (string | number)[];

/** Every place in the arguments: each argument, and what is inside plain objects and short arrays. */
function placesIn(value: unknown, path: Path = [], depth = 3): Path[] {
  const entries = Array.isArray(value)
    ? value.slice(0, 4).map((inner, i) => [i, inner] as const)
    : isPlain(value)
      ? Object.entries(value)
      : [];
  const inside =
    depth === 0 ? [] : entries.flatMap(([key, inner]) => placesIn(inner, [...path, key], depth - 1));
  return path.length === 0 ? inside : [path, ...inside];
}

/** A copy in which `change` was applied to the object or array that holds the place. */
function changed(value: unknown, [key, ...rest]: Path, change: (holder: never, key: never) => void): unknown {
  const copy = (Array.isArray(value) ? [...value] : { ...(value as object) }) as Record<
    string | number,
    unknown
  >;
  if (rest.length === 0) change(copy as never, key as never);
  else copy[key!] = changed(copy[key!], rest, change);
  return copy;
}

const valueAt = (value: unknown, path: Path): unknown =>
  path.reduce<unknown>((inner, key) => (inner as Record<string | number, unknown>)[key], value);

/** One mistake in a list of arguments. */
export function mutate(given: readonly unknown[], random: CounterRandom): Mutation {
  const places = placesIn(given);
  const place = places[random.below(places.length)] ?? [0];
  const where = place.join(".");
  const at = valueAt(given, place);
  const kind = random.below(8);
  if (kind === 0 && isPlain(at)) {
    const add = (holder: Record<string | number, Record<string, unknown>>, key: string) => {
      holder[key] = { ...holder[key], mistaken: 1 };
    };
    return { given: changed(given, place, add) as unknown[], what: `${where}: an unknown field` };
  }
  if (kind === 2 && (isPlain(at) || Array.isArray(at))) {
    const names = Object.keys(DISGUISES);
    const name = names[random.below(names.length)]!;
    const disguise = (holder: Record<string, unknown>, key: string) => {
      holder[key] = DISGUISES[name]!(at);
    };
    return { given: changed(given, place, disguise) as unknown[], what: `${where}: ${name}` };
  }
  if (kind === 1) {
    const remove = (holder: Record<string, unknown> | unknown[], key: string) => {
      if (Array.isArray(holder)) holder.splice(Number(key), 1);
      else delete holder[key];
    };
    return { given: changed(given, place, remove) as unknown[], what: `${where}: left out` };
  }
  const names = Object.keys(VALUES);
  const name = names[random.below(names.length)]!;
  const replace = (holder: Record<string, unknown>, key: string) => {
    holder[key] = VALUES[name]!();
  };
  return { given: changed(given, place, replace) as unknown[], what: `${where}: ${name}` };
}
