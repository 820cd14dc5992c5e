import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type OpenWeightsOptions, openWeights } from "eva-clip/weights";
import { HubServer, type ServedRepository } from "../support/hub_server";
import { tensorFile } from "../support/tensor_file";

const VARIABLES = ["HF_ENDPOINT", "HF_HOME", "HF_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_DOWNLOAD_TIMEOUT"];

/** Weights that the hub of a test serves. */
export const content = tensorFile(100_000);

/** A hub and an empty cache of each test. */
export const world = { hub: undefined as unknown as HubServer, home: "" };

export function useHub(): void {
  beforeEach(async () => {
    world.home = await mkdtemp(join(tmpdir(), "eva-clip-hub-"));
    world.hub = await HubServer.start();
    for (const name of VARIABLES) delete process.env[name];
    Object.assign(process.env, { HF_ENDPOINT: world.hub.url, HF_HOME: world.home });
  });
  afterEach(async () => {
    await world.hub[Symbol.asyncDispose]();
    await rm(world.home, { recursive: true });
  });
}

/** Serves the repository a/b. */
export function serve(more: Partial<ServedRepository> = {}): void {
  world.hub.repositories.set("a/b", {
    files: { "model.safetensors": content, "config.json": "{}" },
    ...more,
  });
}

/** The blobs of a/b in the cache. */
export const blobs = () => join(world.home, "hub/models--a--b/blobs");

/** Whether the weights of a name, by way of the cache, are those that are served. */
export async function fetched(name = "hf-hub:a/b", options: OpenWeightsOptions = {}): Promise<boolean> {
  await using source = await openWeights(name, options);
  return content.equals(await readFile(source.path));
}

export const refused = (code: string, message: RegExp) =>
  expect.objectContaining({ code: `ERR_EVACLIP_${code}`, message: expect.stringMatching(message) });
