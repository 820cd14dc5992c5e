// Uses the parts of the library that need no native code, in a process that cannot load the addon.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

async function main(): Promise<void> {
  const eva = require("../../lib/index") as typeof import("../../lib/index");
  const data = require("../../lib/data") as typeof import("../../lib/data");
  const graph = require("../../lib/graph") as typeof import("../../lib/graph");
  const { listDevices } = require("../../lib/list_devices") as typeof import("../../lib/list_devices");
  const listeners = process.listenerCount("exit");
  const folder = mkdtempSync(join(tmpdir(), "eva-clip-without-"));
  const found = {
    listeners,
    tokens: Array.from(data.tokenize("a cat", 8)),
    models: eva.knownModels().length,
    samples: (await data.openImageFolder(folder).catch((error) => error)).code,
    devices: await listDevices(),
    open: await graph.Device.open("cpu").catch((error) => error.code),
  };
  rmSync(folder, { recursive: true });
  process.stdout.write(JSON.stringify(found));
}

main();
