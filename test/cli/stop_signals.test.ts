import { StopSignals } from "../../lib/cli/stop_signals";

let exit: jest.SpyInstance;
beforeEach(() => {
  exit = jest.spyOn(process, "exit").mockImplementation((() => undefined) as never);
});
afterEach(() => {
  jest.restoreAllMocks();
  // A process that a signal has stopped keeps listening until it ends.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.removeAllListeners(signal);
});

const send = (signal: NodeJS.Signals) => process.emit(signal, signal);
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

test.each([
  ["SIGINT", 130],
  ["SIGTERM", 143],
  ["SIGHUP", 129],
] as const)("%s stops gently, and the second time at once with %d", async (signal, code) => {
  using signals = new StopSignals();
  const stop = jest.fn();
  signals.onFirst(stop);
  send(signal);
  send(signal); // the terminal's, passed on by a shell as well
  expect(stop).toHaveBeenCalledTimes(1);
  expect(exit).not.toHaveBeenCalled();
  expect(signals.exitCode).toBe(code);
  await pause(150);
  send(signal);
  expect(stop).toHaveBeenCalledTimes(1);
  expect(exit).toHaveBeenCalledWith(code);
});

test("another signal after the first ends the process with its own status", () => {
  using signals = new StopSignals();
  signals.onFirst(() => undefined);
  send("SIGINT");
  send("SIGTERM");
  expect(exit).toHaveBeenCalledWith(143);
});

test("before there is anything to stop, the first signal ends the process", () => {
  using _ = new StopSignals();
  send("SIGTERM");
  expect(exit).toHaveBeenCalledWith(143);
});

test("after a signal, another one cannot end the process by another status before it ends", () => {
  const signals = new StopSignals();
  signals.onFirst(() => undefined);
  send("SIGTERM");
  signals[Symbol.dispose]();
  expect(process.listenerCount("SIGTERM")).toBe(1);
});

test("without a signal they are as they were afterwards", () => {
  const before = process.listenerCount("SIGTERM");
  new StopSignals()[Symbol.dispose]();
  expect(process.listenerCount("SIGTERM")).toBe(before);
});
