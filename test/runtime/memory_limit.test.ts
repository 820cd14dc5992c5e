import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Device, modelConfig } from "eva-clip";
import { AdamW, allocateModel, ClipModel, initializeModel, parameterRules } from "eva-clip/train";

const LIMIT = 1500 * 2 ** 20;

/** The memory cgroup hierarchy in which this process can create groups, if any. */
function writableHierarchy(): { folder: string; limit: string } | undefined {
  for (const [mount, limit] of [
    ["/sys/fs/cgroup/memory", "memory.limit_in_bytes"],
    ["/sys/fs/cgroup", "memory.max"],
  ] as const) {
    const folder = join(mount, `eva-clip-${process.pid}`);
    try {
      mkdirSync(folder);
      if (existsSync(join(folder, limit))) return { folder, limit };
      rmdirSync(folder);
    } catch {
      // Requires root and Linux.
    }
  }
  return undefined;
}

const group = writableHierarchy();
afterAll(() => {
  if (group) rmdirSync(group.folder);
});

(group ? test : test.skip)(
  "a model larger than the cgroup is refused, not killed",
  () => {
    const { folder, limit } = group!;
    writeFileSync(join(folder, limit), String(LIMIT));
    const root = join(__dirname, "..", "..");
    const script = join(root, "test", "support", "create_in_cgroup.ts");
    const { stdout, signal } = spawnSync(
      process.execPath,
      ["-C", "eva-clip-source", "-r", "ts-node/register/transpile-only", script, folder],
      { cwd: root, encoding: "utf8" },
    );
    expect(signal).toBeNull();
    const { code, needed, free } = JSON.parse(stdout);
    expect(code).toBe("ERR_EVACLIP_OUT_OF_MEMORY");
    expect(Number(needed)).toBeGreaterThan(1.7e9);
    expect(Number(free)).toBeLessThan(LIMIT);
    expect(readFileSync(join(folder, limit), "utf8").trim()).toBe(String(LIMIT));
  },
  120_000,
);

describe("a model larger than the machine", () => {
  let device: Device;
  beforeAll(async () => {
    device = await Device.open("cpu", { threads: 1 });
  });
  afterAll(() => device.dispose());

  const machineBytes = () =>
    Number(/MemTotal:\s+(\d+)/.exec(readFileSync("/proc/meminfo", "utf8"))![1]) * 1024;

  /** Layers for which the model needs twice the machine's memory. */
  function hugeModel(): ClipModel {
    const config = structuredClone(modelConfig("EVA-CLIP-18B"));
    const bytes = new ClipModel(config).parameters().reduce((sum, { size }) => sum + 4 * size, 0);
    const times = Math.max(1, Math.ceil((2 * machineBytes()) / bytes));
    config.vision_cfg.layers = Number(config.vision_cfg.layers) * times;
    return new ClipModel(config);
  }

  test("is refused before anything is allocated", async () => {
    const model = hugeModel();
    const bytes = model
      .parameters()
      .reduce((sum, { storedShape }) => sum + 4 * storedShape.reduce((a, b) => a * b, 1), 0);
    const details = expect.objectContaining({ needed: bytes, free: expect.any(Number) });
    const refusal = { code: "ERR_EVACLIP_OUT_OF_MEMORY", details };
    expect(() => allocateModel(model, device)).toThrow(expect.objectContaining(refusal));
    await expect(initializeModel(model, device)).rejects.toMatchObject(refusal);
    expect(model.parameters().some(({ allocated }) => allocated)).toBe(false);
  });

  test("so are moments that do not fit, and none of them stays allocated", async () => {
    const tower = { learningRate: 1, weightDecay: 0 };
    const optimizer = new AdamW(
      parameterRules(hugeModel().parameters(), { image: tower, text: tower, other: tower }),
    );
    await expect(optimizer.allocate(device)).rejects.toMatchObject({ code: "ERR_EVACLIP_OUT_OF_MEMORY" });
    expect(optimizer.state().some(({ allocated }) => allocated)).toBe(false);
  });

  test("memory allocated but not yet touched counts", async () => {
    // Allocated but never written, so no page is resident.
    const models: ClipModel[] = [];
    const allocateMore = () => {
      for (let bytes = 0; bytes < 2 * machineBytes(); bytes += 17e8) {
        models.push(new ClipModel(modelConfig("EVA02-CLIP-L-14")));
        allocateModel(models.at(-1)!, device);
      }
    };
    expect(allocateMore).toThrow(expect.objectContaining({ code: "ERR_EVACLIP_OUT_OF_MEMORY" }));
    expect(models.length).toBeGreaterThan(1);
    for (const model of models) model.dispose();
    const [first] = models;
    allocateModel(first!, device);
    for (const parameter of first!.parameters()) parameter.dispose();
  });
});
