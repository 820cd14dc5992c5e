// `eva-clip serve` under load: clients that send images and texts in several shapes and compare every answer with the
// model's own embedding; then malformed requests beside good ones. Prints each goal and whether it was met.
//   npm run bench -- serve [--minutes 10] [--warm-up 60] [--clients 64] [--malformed [1000]] [--model EVA02-CLIP-B-16] [--json]
// The clients, the server and this program are three processes. The model has random weights, in a temporary folder.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "node:util";
import { availableProcessors } from "../lib/container_limits";
import { EvaClip } from "eva-clip";
import { configFrom } from "../lib/cli/config_source";
import { ClientProcess } from "./serve/client_process";
import { sendMalformed } from "./serve/malformed";
import { ServerProcess } from "./serve/server_process";
import { below, memoryVerdict, printVerdicts, type Verdict } from "./serve/verdicts";
import { leastDistance, makeWorkload, type Workload } from "./serve/workload";

const MOST_DIFFERENCE = 1e-5;
/** The interval at which the event loop's delay is sampled, which Node counts as part of it. */
const SAMPLING_MS = 10;
/** Rounds of the workload in one measurement of the model itself: whole batches of 32 images. */
const OWN_ROUNDS = 8;

interface Options {
  minutes: number;
  warmUp: number;
  clients: number;
  malformed: number;
  threads: number;
}

/** What a workload costs: seconds, and seconds of all cores. */
interface Cost {
  seconds: number;
  cpuSeconds: number;
}

/** What the samples of a workload cost the model itself, decoding included, in batches of 32. */
async function ownCost(model: EvaClip, { images, texts }: Workload): Promise<Cost> {
  const copies = <T>(list: readonly T[]) => Array.from({ length: OWN_ROUNDS }, () => list).flat();
  const usage = process.cpuUsage();
  const begin = performance.now();
  await model.encodeImage(copies(images));
  await model.encodeText(copies(texts));
  const seconds = (performance.now() - begin) / 1e3;
  const { user, system } = process.cpuUsage(usage);
  return { seconds: seconds / OWN_ROUNDS, cpuSeconds: (user + system) / 1e6 / OWN_ROUNDS };
}

function quantile(values: readonly number[], share: number): string {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]?.toFixed(0) ?? "-";
}

function eventLoopVerdict(seconds: number): Verdict {
  const what = `event-loop delay, p99 (including the ${SAMPLING_MS} ms between samples)`;
  return below(what, seconds * 1e3, 20, " ms");
}

async function load(
  model: EvaClip,
  workload: Workload,
  server: ServerProcess,
  options: Options,
): Promise<Verdict[]> {
  const before = await ownCost(model, workload);
  const clients = new ClientProcess(server.url, workload, options.clients);
  await pause(options.warmUp * 1e3);
  clients.restart();
  await server.metric("nodejs_eventloop_lag_p99_seconds"); // begins a new histogram
  const begin = performance.now();
  const cpuBefore = server.cpuSeconds();
  for (const end = begin + options.minutes * 60e3; performance.now() < end; ) {
    await pause(Math.min(30e3, end - performance.now()));
    const { seen } = await clients.look();
    console.error(
      `${((performance.now() - begin) / 60e3).toFixed(1)} min: ${seen.requests} answers, ${seen.errors} errors`,
    );
  }
  const { seen, cpuSeconds } = await clients.look();
  const lag = await server.metric("nodejs_eventloop_lag_p99_seconds");
  const memory = server.memorySince(begin);
  const serverCpu = server.cpuSeconds() - cpuBefore;
  await clients.stop();
  const after = await ownCost(model, workload);
  for (const error of seen.firstErrors) console.error(`error: ${error}`);
  const own = (before.seconds + after.seconds) / 2;
  const ownCpu = (before.cpuSeconds + after.cpuSeconds) / 2;
  const rounds = seen.requests / workload.requests.length;
  const share = (rounds / seen.seconds) * own;
  const samples = (workload.images.length + workload.texts.length) / own;
  const latencies = Object.entries(seen.latencies).map(([form, values]): Verdict => {
    const value = `${quantile(values, 0.5)} / ${quantile(values, 0.99)} ms`;
    return { what: `latency of ${form}, p50 / p99 of ${values.length}`, value, goal: "" };
  });
  return [
    below(`errors in ${seen.requests} answers`, seen.errors, 0),
    below("difference from the golden embeddings", seen.worstDifference, MOST_DIFFERENCE),
    memoryVerdict(memory),
    eventLoopVerdict(lag),
    {
      what: `throughput, of the model's own ${samples.toFixed(1)} samples/s (a round takes it ${before.seconds.toFixed(2)} s before, ${after.seconds.toFixed(2)} s after)`,
      value: `${(100 * share).toFixed(1)} %`,
      goal: "at least 90 %",
      met: share >= 0.9,
    },
    {
      what: "CPU time of the server, of the model's own (other processes hardly change it)",
      value: `${((100 * serverCpu) / rounds / ownCpu).toFixed(0)} %`,
      goal: "",
    },
    {
      what: "clients' share of a core",
      value: `${((100 * cpuSeconds) / seen.seconds).toFixed(0)} %`,
      goal: "",
    },
    ...latencies,
  ];
}

async function malformed(workload: Workload, server: ServerProcess, count: number): Promise<Verdict[]> {
  const clients = new ClientProcess(server.url, workload, 8);
  // The first of each kind allocate what later ones reuse.
  await sendMalformed(server.url, workload, Math.ceil(count / 4));
  clients.restart();
  const begin = performance.now();
  const results = await sendMalformed(server.url, workload, count);
  const { seen } = await clients.look();
  const memory = server.memorySince(begin);
  await clients.stop();
  for (const error of seen.firstErrors) console.error(`error of a good request: ${error}`);
  for (const { name, expected, wrong } of results.filter((result) => result.wrong.length > 0))
    console.error(`${name}: expected ${expected.join(" or ")}, found ${wrong.join(", ")}`);
  const sent = results.reduce((sum, { times }) => sum + times, 0);
  const wrong = results.reduce((sum, result) => sum + result.wrong.length, 0);
  const ready = await fetch(`${server.url}/readyz`);
  return [
    below(`wrong answers to ${sent} malformed requests of ${results.length} kinds`, wrong, 0),
    below(`errors in ${seen.requests} good requests beside them`, seen.errors, 0),
    below("difference of those from the golden embeddings", seen.worstDifference, MOST_DIFFERENCE),
    { what: "/readyz afterwards", value: String(ready.status), goal: "200", met: ready.status === 200 },
    memoryVerdict(memory),
  ];
}

function readOptions() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      minutes: { type: "string", default: "10" },
      "warm-up": { type: "string", default: "60" },
      clients: { type: "string", default: "64" },
      malformed: { type: "boolean", default: false },
      model: { type: "string", default: "EVA02-CLIP-B-16" },
      threads: { type: "string", default: String(availableProcessors()) },
      json: { type: "boolean", default: false },
    },
  });
  const [minutes, warmUp, clients, threads] = [
    values.minutes,
    values["warm-up"],
    values.clients,
    values.threads,
  ].map(Number);
  const count = values.malformed ? Number(positionals[0] ?? 1000) : 0;
  const options: Options = {
    minutes: minutes!,
    warmUp: warmUp!,
    clients: clients!,
    threads: threads!,
    malformed: count,
  };
  return { options, model: values.model, json: values.json };
}

async function main(): Promise<void> {
  const { options, model: config, json } = readOptions();
  const folder = await mkdtemp(join(tmpdir(), "eva-clip-bench-serve-"));
  let server: ServerProcess | undefined;
  try {
    const device = { device: "cpu", threads: options.threads } as const;
    await using model = await EvaClip.create(await configFrom(config), { ...device, init: "fan_in" });
    await model.save(folder);
    const workload = await makeWorkload(model, "bench");
    const distance = leastDistance(workload);
    const timeoutMs = options.malformed > 0 ? 20_000 : 120_000;
    server = await ServerProcess.start([
      ...["--name", `bench=${folder}`, "--device", "cpu", "--threads", String(options.threads)],
      ...["--timeout-ms", String(timeoutMs), "--max-connections", "4096"],
    ]);
    const verdicts =
      options.malformed > 0
        ? await malformed(workload, server, options.malformed)
        : await load(model, workload, server, options);
    const code = await server.stop();
    verdicts.push({ what: "exit status after SIGTERM", value: String(code), goal: "0", met: code === 0 });
    // Otherwise an answer that belongs to another sample could pass.
    const apart = `${distance.toPrecision(2)}`;
    verdicts.push({
      what: "least difference of two samples",
      value: apart,
      goal: "above 1e-3",
      met: distance > 1e-3,
    });
    const isMet = printVerdicts(verdicts, json);
    if (!isMet) console.error(`the end of the server's log:\n${server.log}`);
    process.exitCode = isMet ? 0 : 1;
  } finally {
    await server?.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

void main();
