import { z } from "zod";
import {
  abortSignal,
  checkArgument,
  describeValue,
  finiteNumber,
  listOf,
  oneOf,
  options,
  ownArgument,
  positiveInteger,
  share,
  text,
} from "../lib/arguments";

const schema = options({
  batchSize: positiveInteger.optional(),
  mode: oneOf("fast", "exact").optional(),
  labels: listOf(text, "a list of strings").min(1).optional(),
  rate: share.optional(),
  chance: finiteNumber.min(0).lt(1).optional(),
  signal: abortSignal.optional(),
  checkpoint: options({ directory: text, every: positiveInteger.optional() }).optional(),
  texts: z.union([text, z.array(text)], { error: "a string or a list of strings" }).optional(),
}).optional();

const refusal = (value: unknown): string => {
  try {
    checkArgument("encode: options", value, schema);
  } catch (error) {
    expect((error as { code?: string }).code).toBe("ERR_EVACLIP_INVALID_ARGUMENT");
    return (error as Error).message;
  }
  return "accepted";
};

test.each([
  [{ batchSize: "3" }, 'encode: options.batchSize must be an integer of at least 1, found "3"'],
  [{ batchSize: 1.5 }, "encode: options.batchSize must be an integer of at least 1, found 1.5"],
  [{ batchSize: 0 }, "encode: options.batchSize must be at least 1, found 0"],
  [{ batchSize: Number.NaN }, "encode: options.batchSize must be an integer of at least 1, found NaN"],
  [
    { batchSize: 1e20 },
    "encode: options.batchSize must be at most 9007199254740991, found 100000000000000000000",
  ],
  [{ batchSize: null }, "encode: options.batchSize must be an integer of at least 1, found null"],
  [{ mode: "quick" }, 'encode: options.mode must be one of fast, exact, found "quick"'],
  [{ labels: [] }, "encode: options.labels must be a list of length at least 1, found an array of 0"],
  [{ labels: ["a", 1] }, "encode: options.labels[1] must be a string, found 1"],
  [
    { labels: new Array(2 ** 32 - 1) },
    "encode: options.labels must be a list of length at most 1000000, found an array of 4294967295",
  ],
  [{ chance: 1 }, "encode: options.chance must be less than 1, found 1"],
  [{ rate: 2 }, "encode: options.rate must be at most 1, found 2"],
  [{ signal: 5 }, "encode: options.signal must be an AbortSignal, found 5"],
  [{ chekpoint: {} }, 'encode: options has no field "chekpoint"; did you mean checkpoint?'],
  [{ checkpoint: {} }, "encode: options.checkpoint.directory must be a string, found undefined"],
  [
    { checkpoint: { directory: "", evry: 1 } },
    'encode: options.checkpoint has no field "evry"; did you mean every?',
  ],
  [{ xyzzy: 1 }, 'encode: options has no field "xyzzy"'],
  [{ texts: 5 }, "encode: options.texts must be a string or a list of strings, found 5"],
  [null, "encode: options must be an object, found null"],
  ["text", 'encode: options must be an object, found "text"'],
  [[], "encode: options must be an object, found an array of 0"],
  [new Map([["batchSize", 3]]), "encode: options must be an object, found an object of class Map"],
  [Promise.resolve({}), "encode: options must be an object, found an object of class Promise"],
  [new Uint8Array(0), "encode: options must be an object, found Uint8Array of 0"],
  [
    Object.create(Float32Array.prototype),
    "encode: options must be an object, found an object of class Float32Array",
  ],
  [{ checkpoint: new Map() }, "encode: options.checkpoint must be an object, found an object of class Map"],
])("%p is refused with the place, what it must be and what was found", (value, message) => {
  expect(refusal(value)).toBe(message);
});

test("what throws when it is read is refused, with its cause", () => {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  expect(refusal(proxy)).toContain("encode: options cannot be read: ");
  const cause = new Error("no such luck");
  const throwing = {
    get batchSize(): number {
      throw cause;
    },
  };
  expect(refusal(throwing)).toBe("encode: options cannot be read: no such luck");
  expect(() => checkArgument("encode: options", throwing, schema)).toThrow(
    expect.objectContaining({ cause }),
  );
});

test("what fits is accepted", () => {
  expect(refusal(undefined)).toBe("accepted");
  expect(
    refusal({ batchSize: 2, mode: "exact", labels: ["a"], rate: 0, signal: new AbortController().signal }),
  ).toBe("accepted");
});

test("a message never holds a long input whole", () => {
  expect(describeValue("x".repeat(1e6)).length).toBeLessThan(100);
  expect(describeValue(new Uint8Array(1e6))).toBe("Uint8Array of 1000000");
  expect(describeValue(() => 1)).toBe("a function");
  expect(refusal({ ["y".repeat(1e5)]: 1 }).length).toBeLessThan(150);
});

describe("ownArgument", () => {
  const given = () => ({ labels: ["a"], checkpoint: { directory: "d" } });

  test("gives a copy as deep as the schema", () => {
    const value = given();
    const own = ownArgument("encode: options", value, schema);
    value.labels[0] = "b";
    value.checkpoint.directory = "e";
    expect(own).toEqual(given());
  });

  test("gives what was checked, whatever a getter says later", () => {
    let reads = 0;
    const value = { ...given() };
    Object.defineProperty(value, "mode", { get: () => (reads++ < 9 ? "fast" : 5), enumerable: true });
    const own = ownArgument("encode: options", value as { mode?: string }, schema);
    for (let i = 0; i < 20; i++) expect(own.mode).toBe("fast");
  });
});

const throwing = (error: unknown) => () => {
  throw error;
};
const revoked = () => {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
};

test.each<[string, () => unknown]>([
  ["a getter that throws", () => Object.defineProperty({}, "mode", { get: throwing(new Error("mine")) })],
  ["a getter that throws nothing", () => Object.defineProperty({}, "mode", { get: throwing(undefined) })],
  ["a getter that throws a symbol", () => Object.defineProperty({}, "mode", { get: throwing(Symbol("s")) })],
  [
    "a getter whose error cannot be read",
    () =>
      Object.defineProperty({}, "mode", {
        get: throwing(Object.defineProperty({}, "message", { get: throwing(1) })),
      }),
  ],
  ["a revoked proxy", revoked],
  ["a list of revoked proxies", () => ({ labels: [revoked()] })],
])("%s is refused with a code", (_, make) => {
  expect(refusal(make())).toMatch(/^encode: options.* (cannot be read|must be)/);
});

test("a value that cannot be described has a description", () => {
  expect(describeValue(revoked())).toBe("an unreadable object");
});
