import { Device } from "../../lib/device";
import { Module } from "../../lib/nn/module";
import { Scope } from "../../lib/nn/scope";
import type { Parameter } from "../../lib/parameter";

const invalid = (message: RegExp) =>
  expect.objectContaining({
    code: "ERR_EVACLIP_INVALID_ARGUMENT",
    message: expect.stringMatching(message),
  });

class Pair extends Module {
  readonly first: Parameter;
  readonly rest: readonly Module[];

  constructor(scope: Scope, depth = 0) {
    super();
    this.first = scope.parameter("first", [2]);
    this.rest = depth === 0 ? [] : [new Pair(scope.at("rest.0"), depth - 1)];
  }
}

test("parameters come in the order of fields, each once", () => {
  const pair = new Pair(new Scope("pair"), 2);
  Object.assign(pair, { again: pair.first });
  expect(pair.parameters().map(({ name }) => name)).toEqual([
    "pair.first",
    "pair.rest.0.first",
    "pair.rest.0.rest.0.first",
  ]);
});

test.each([
  ["an object", (parameter: Parameter) => ({ parameter })],
  ["a Map", (parameter: Parameter) => new Map([["a", parameter]])],
  ["a Set", (parameter: Parameter) => new Set([parameter])],
])("parameters in %s are refused instead of lost", (_, hold) => {
  const pair = new Pair(new Scope());
  Object.assign(pair, { held: hold(pair.first) });
  expect(() => pair.parameters()).toThrow(invalid(/Pair\.held keeps parameters in an object/));
});

test("a scope knows the parameters that a module does not list", () => {
  class Hidden extends Module {
    readonly #weight: Parameter;

    constructor(scope: Scope) {
      super();
      this.#weight = scope.parameter("weight", [2]);
    }

    get weight() {
      return this.#weight;
    }
  }
  const scope = new Scope("model");
  const hidden = new Hidden(scope.at("hidden"));
  expect(hidden.parameters()).toEqual([]);
  expect(() => scope.checkHeldBy(hidden)).toThrow(invalid(/does not list model\.hidden\.weight/));
  hidden.parameters = () => [hidden.weight];
  expect(() => scope.checkHeldBy(hidden)).not.toThrow();
});

test("two parameters of one name are refused, and so is a tower without a layer", () => {
  const scope = new Scope("model");
  scope.at("part").parameter("weight", [2]);
  expect(() => scope.parameter("part.weight", [2])).toThrow(
    invalid(/two parameters are named model\.part\.weight/),
  );
  expect(() => scope.at("x", { tower: "image" }).parameter("weight", [2])).toThrow(
    invalid(/role must be a role with tower and layer/),
  );
});

test("disposing of a module frees its parameters", async () => {
  await using device = await Device.open("cpu", { threads: 1 });
  const pair = new Pair(new Scope(), 1);
  for (const parameter of pair.parameters()) parameter.allocate(device);
  expect(pair.first.disposed).toBe(false);
  pair.dispose();
  for (const { allocated, disposed } of pair.parameters())
    expect([allocated, disposed]).toEqual([false, true]);
  pair.first.allocate(device);
  expect(pair.first.disposed).toBe(false);
  pair[Symbol.dispose]();
});
