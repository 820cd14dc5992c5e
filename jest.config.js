/** @type {import("jest").Config} */
module.exports = {
  testEnvironment: "node",
  // `eva-clip` and `eva-clip/…` are lib/ itself, as in tsconfig.json.
  testEnvironmentOptions: { customExportConditions: ["eva-clip-source", "node", "node-addons"] },
  roots: ["<rootDir>/test"],
  testMatch: ["**/*.test.ts"],
  transform: { "^.+\\.ts$": ["ts-jest", {}] },
  // Each test process opens a device whose threads fill the cores: more of them would only wait for each other.
  maxWorkers: 1,
  // What earlier files leave in the heap must not slow down later ones, some of which measure time.
  workerIdleMemoryLimit: "600MB",
  testTimeout: 60_000,
};
