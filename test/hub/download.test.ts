import { spawn } from "node:child_process";
import { readdir, rm, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type DownloadProgress, openWeights } from "eva-clip/weights";
import { COMMIT, type Fault, TOKEN } from "../support/hub_server";
import { tensorFile } from "../support/tensor_file";
import { blobs, content, fetched, refused, serve, useHub, world } from "./hub_fixture";

useHub();

/** Faults of the first requests to the storage, one each. */
function faults(...each: Fault[]): void {
  const left = [...each];
  world.hub.fault = ({ host }) => (host === "storage" ? left.shift() : undefined);
}

describe("a download", () => {
  test("goes to where huggingface_hub looks, and the token stays at the hub", async () => {
    serve();
    process.env.HF_TOKEN = TOKEN;
    expect(await fetched()).toBe(true);
    const root = join(world.home, "hub/models--a--b");
    expect((await readdir(root)).sort()).toEqual(["blobs", "refs", "snapshots"]);
    expect((await readdir(join(root, "blobs"))).map((name) => name.length).sort()).toEqual([40, 64]);
    const given = (host: string) =>
      new Set(world.hub.log.filter((each) => each.host === host).map((each) => each.authorization));
    expect([given("hub"), given("storage")]).toEqual([new Set([`Bearer ${TOKEN}`]), new Set([undefined])]);
  });

  test("happens once, and a cached model needs one request, or none offline", async () => {
    serve();
    await fetched();
    world.hub.log.length = 0;
    await fetched();
    expect(world.hub.log.map(({ path }) => path)).toEqual(["/api/models/a/b/revision/main"]);
    process.env.HF_HUB_OFFLINE = "1";
    expect(await fetched()).toBe(true);
    expect(world.hub.log).toHaveLength(1);
  });

  test("continues where the connection was cut, again and again", async () => {
    serve();
    faults({ cutAfter: 30_000 }, { cutAfter: 1 }, { cutAfter: 20_000 });
    expect(await fetched()).toBe(true);
    const ranges = world.hub.log.filter(({ host }) => host === "storage").map(({ range }) => range);
    expect(ranges).toEqual([undefined, "bytes=30000-", "bytes=30001-", "bytes=50001-"]);
  });

  test("continues from a server without ranges", async () => {
    serve();
    faults({ cutAfter: 30_000 }, { noRanges: true });
    expect(await fetched()).toBe(true);
  });

  test("continues after a silence", async () => {
    serve();
    process.env.HF_HUB_DOWNLOAD_TIMEOUT = "0.2";
    faults({ silentAfter: 30_000 });
    expect(await fetched()).toBe(true);
  });

  test("continues what a killed process left", async () => {
    serve();
    faults({ cutAfter: 40_000 });
    const call = new AbortController();
    const onDownload = ({ received }: DownloadProgress) =>
      received >= 40_000 && call.abort(new Error("mine"));
    await expect(fetched("hf-hub:a/b", { signal: call.signal, onDownload })).rejects.toThrow("mine");
    const [partial] = (await readdir(blobs())).filter((name) => name.endsWith(".incomplete"));
    expect((await stat(join(blobs(), partial!))).size).toBe(40_000);
    world.hub.log.length = 0;
    expect(await fetched()).toBe(true);
    expect(world.hub.log.find(({ host }) => host === "storage")!.range).toBe("bytes=40000-");
    expect((await readdir(blobs())).filter((name) => name.endsWith(".incomplete"))).toEqual([]);
  });

  test("begins again where what was left is damaged", async () => {
    serve();
    await fetched();
    const [hash] = (await readdir(blobs())).filter((name) => name.length === 64);
    await rm(join(world.home, "hub/models--a--b/snapshots"), { recursive: true });
    await rm(join(blobs(), hash!));
    const partial = join(blobs(), `${hash}.00000000-1-00000000.incomplete`);
    await writeFile(partial, Buffer.alloc(5000));
    await utimes(partial, new Date(0), new Date(0));
    expect(await fetched()).toBe(true);
  });

  test("with another content is an error, and nothing of it stays", async () => {
    serve();
    world.hub.fault = ({ host }) =>
      host === "storage" ? { body: (bytes) => Buffer.from(bytes).fill(1, 5000, 5010) } : undefined;
    await expect(fetched()).rejects.toEqual(
      refused("CHECKPOINT_CORRUPT", /hf-hub:a\/b\/model\.safetensors was received with another content/),
    );
    expect((await readdir(blobs())).filter((name) => name.length !== 40)).toEqual([]);
  });

  test("reports its progress, and an error there rejects", async () => {
    serve();
    const seen: DownloadProgress[] = [];
    await fetched("hf-hub:a/b", { onDownload: (progress) => seen.push(progress) });
    const weights = seen.filter(({ file }) => file === "model.safetensors");
    expect(weights[0]).toEqual({
      repository: "a/b",
      file: "model.safetensors",
      received: 0,
      size: content.length,
    });
    expect(weights.at(-1)!.received).toBe(content.length);
    serve({
      files: { "model.safetensors": tensorFile(100_001) },
      revisions: { other: COMMIT.replace("0", "1") },
    });
    const onDownload = () => Promise.reject(new RangeError("mine"));
    await expect(fetched("hf-hub:a/b@other", { onDownload })).rejects.toThrow(new RangeError("mine"));
  });

  test("ends when it is aborted, before or while it runs", async () => {
    serve();
    world.hub.fault = ({ host }) => (host === "storage" ? { silentAfter: 1000 } : undefined);
    const signal = AbortSignal.timeout(150);
    await expect(fetched("hf-hub:a/b", { signal })).rejects.toThrow(signal.reason ?? /aborted/);
    await expect(fetched("hf-hub:a/b", { signal: AbortSignal.abort(new Error("mine")) })).rejects.toThrow(
      "mine",
    );
  });

  test("of one file by several processes and calls is one", async () => {
    serve();
    world.hub.fault = ({ host }) => (host === "storage" ? { cutAfter: 50_000 } : undefined);
    const script = `require("./lib/hub/fetch_model.ts").fetchModel({ repository: "a/b" }, {}, async () => {}).then(() => console.log("whole"))`;
    const process_ = () =>
      new Promise<string>((resolve) => {
        const words = ["-C", "eva-clip-source", "-r", "ts-node/register/transpile-only", "-e", script];
        const child = spawn(process.execPath, words, {
          cwd: join(__dirname, "../.."),
          env: { ...process.env },
          stdio: ["ignore", "pipe", "inherit"],
        });
        let out = "";
        child.stdout.on("data", (chunk) => {
          out += String(chunk);
        });
        child.on("close", () => resolve(out.trim()));
      });
    const all = await Promise.all([process_(), fetched(), fetched()]);
    expect(all).toEqual(["whole", true, true]);
    const starts = world.hub.log.filter(({ host, range }) => host === "storage" && range === undefined);
    expect(starts).toHaveLength(1);
    expect((await readdir(blobs())).map((name) => name.length).sort()).toEqual([40, 64]);
  });

  test("of shards fetches the index and every shard, and no other file", async () => {
    const shard = (name: string) => tensorFile(3000, name);
    const index = { weight_map: { one: "model-1.safetensors", two: "model-2.safetensors" } };
    serve({
      files: {
        "model.safetensors.index.json": JSON.stringify(index),
        "model-1.safetensors": shard("one"),
        "model-2.safetensors": shard("two"),
        "pytorch_model.bin": Buffer.alloc(5000),
        "README.md": "x",
        "sub/model.safetensors": content,
      },
    });
    await using source = await openWeights("hf-hub:a/b");
    expect([...source.tensors.keys()]).toEqual(["one", "two"]);
    expect(
      new Set(
        world.hub.downloads.filter(({ host }) => host === "hub").map(({ path }) => path.split("/").at(-1)),
      ),
    ).toEqual(new Set(["model.safetensors.index.json", "model-1.safetensors", "model-2.safetensors"]));
    await using below = await openWeights("hf-hub:a/b/sub");
    expect(below.path).toMatch(/sub\/model\.safetensors$/);
  });
});
