import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type LoggedRequest, type ServedRepository, TOKEN } from "../support/hub_server";
import { fetched, refused, serve, useHub, world } from "./hub_fixture";

useHub();

describe("what the hub answers", () => {
  const cases: [string, string, Partial<ServedRepository>, string, RegExp][] = [
    ["no repository", "hf-hub:a/c", {}, "HUB_DENIED", /a\/c, or has no such repository.*set HF_TOKEN/],
    [
      "a private one",
      "hf-hub:a/b",
      { access: "private" },
      "HUB_DENIED",
      /a\/b, or has no such.*set HF_TOKEN/,
    ],
    ["a gated one", "hf-hub:a/b", { access: "gated" }, "HUB_DENIED", /a\/b is gated: set HF_TOKEN/],
    ["no revision", "hf-hub:a/b@v9", {}, "HUB_NOT_FOUND", /a\/b has no revision v9/],
    [
      "no file",
      "hf-hub:a/b@main/x.pt",
      {},
      "HUB_NOT_FOUND",
      /a\/b has no file x\.pt at revision main: its weights are model/,
    ],
    [
      "no weights",
      "hf-hub:a/b",
      { files: { "README.md": "" } },
      "HUB_NOT_FOUND",
      /a\/b has no weights; name one/,
    ],
    [
      "several weights",
      "hf-hub:a/b",
      { files: { "x.pt": "x", "y.pt": "y" } },
      "HUB_NOT_FOUND",
      /several files of weights, none with a usual name: its weights are x\.pt, y\.pt; name one, as in hf-hub:a\/b\/x\.pt/,
    ],
  ];
  test.each(cases)("%s", async (_, name, repository, code, message) => {
    serve(repository);
    await expect(fetched(name)).rejects.toEqual(refused(code, message));
  });

  test("with a token: no repository, and no access", async () => {
    process.env.HF_TOKEN = "hf_other";
    serve({ access: "gated" });
    await expect(fetched("hf-hub:a/c")).rejects.toEqual(
      refused("HUB_NOT_FOUND", /the hub has no repository a\/c/),
    );
    await expect(fetched()).rejects.toEqual(
      refused("HUB_DENIED", /a\/b is gated: request access on its page/),
    );
    process.env.HF_TOKEN = TOKEN;
    expect(await fetched()).toBe(true);
  });

  test("the token that was stored by a login", async () => {
    serve({ access: "private" });
    await writeFile(join(world.home, "token"), `${TOKEN}\n`);
    expect(await fetched()).toBe(true);
  });

  test.each([429, 503, 500])("%i: asked again when the server says", async (status) => {
    serve();
    let times = 0;
    world.hub.fault = ({ path }) =>
      path.endsWith("revision/main") && times++ < 2 ? { status, headers: { "retry-after": "0" } } : undefined;
    expect(await fetched()).toBe(true);
    expect(times).toBe(3);
  });

  test("a link to the storage that has expired is asked for again", async () => {
    serve();
    let isFirst = true;
    world.hub.fault = ({ host }) => {
      if (host !== "storage" || !isFirst) return undefined;
      isFirst = false;
      return { status: 403, headers: { "retry-after": "0" } };
    };
    expect(await fetched()).toBe(true);
  });

  test("503 for good, or a wait of an hour, is an error that says so", async () => {
    serve();
    world.hub.fault = () => ({ status: 429, headers: { "retry-after": "3600" } });
    await expect(fetched()).rejects.toEqual(
      refused("HUB_UNAVAILABLE", /answers 429 for hf-hub:a\/b: too many requests/),
    );
    world.hub.fault = () => ({ status: 503, headers: { "retry-after": "0" } });
    await expect(fetched()).rejects.toEqual(refused("HUB_UNAVAILABLE", /answers 503/));
  });

  test("nothing: the cache serves, with a warning, or the error names the address", async () => {
    serve();
    await fetched();
    const closed = world.hub.url;
    await world.hub[Symbol.asyncDispose]();
    const warnings: string[] = [];
    expect(await fetched("hf-hub:a/b", { logger: { warn: (message) => warnings.push(message) } })).toBe(true);
    expect(warnings).toEqual([expect.stringMatching(`cannot reach the hub at ${closed} .*from the cache`)]);
    await expect(fetched("hf-hub:a/c")).rejects.toEqual(
      refused("HUB_UNAVAILABLE", new RegExp(`cannot reach the hub at ${closed} for a/c: ECONNREFUSED`)),
    );
  });

  test("a page that is none of a hub", async () => {
    world.hub.fault = () => ({ status: 200, headers: { "content-type": "text/html" } });
    await expect(fetched()).rejects.toEqual(
      refused("HUB_UNAVAILABLE", /does not answer as a hub.*check HF_ENDPOINT/),
    );
  });

  test("offline: what is not cached is an error, without a request", async () => {
    process.env.HF_HUB_OFFLINE = "1";
    await expect(fetched()).rejects.toEqual(
      refused("HUB_UNAVAILABLE", /hf-hub:a\/b is not in the cache .*, and HF_HUB_OFFLINE is set/),
    );
    expect(world.hub.log).toEqual([] as LoggedRequest[]);
  });
});
