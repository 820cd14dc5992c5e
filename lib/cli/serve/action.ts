import type { EvaClip } from "../../index";
import { openIndex, type VectorStore } from "../../search";
import { type RunningServer, serve } from "../../serve";
import { createHandler, type RequestHandler } from "../../serve/handler";
import { isLoopback } from "../../serve/server/requested_host";
import { EXIT } from "../exit_code";
import { withoutUndefined } from "../flag_values";
import { withModels } from "../given_model";
import { printResult, say } from "../output";
import { StopSignals } from "../stop_signals";
import type { ServeFlags } from "./flags";
import { servedNames } from "./served_names";

/** Bytes of the MiB of --max-body-mb. */
const MEBIBYTE = 2 ** 20;

/** A body may take as long as its request, and at least this long: the handler tells a slow client more than the server. */
const LEAST_BODY_MS = 60_000;

/** How much longer than --drain-ms the process lives when a device does not let go. */
const GRACE_MS = 2000;

/** Ends the process when stopping takes longer, as it does when a device hangs. */
class Deadline implements Disposable {
  #timer: NodeJS.Timeout | undefined;

  constructor(private readonly afterMs: number) {}

  start(): void {
    this.#timer = setTimeout(() => process.exit(EXIT.ok), this.afterMs);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}

/** Serves models until a signal; a second one ends the process at once. */
export async function serveModels(words: readonly string[], flags: ServeFlags): Promise<void> {
  const names = servedNames(words, flags);
  using signals = new StopSignals();
  using deadline = new Deadline(flags.drainMs + GRACE_MS);
  const stopped = new Promise<void>((resolve) => {
    signals.onFirst(() => {
      say(`stopping; requests under way have ${flags.drainMs} ms. Again: stop at once`);
      deadline.start();
      resolve();
    });
  });
  if (!isLoopback(flags.host) && flags.apiKey === undefined)
    say(`warning: anyone who reaches ${flags.host} can send requests; require a key with EVA_CLIP_API_KEY`);
  await using index = flags.index === undefined ? undefined : await openIndex(flags.index);
  const paths = names.map(([, path]) => path);
  await withModels(paths, flags, async (models) => {
    const named = Object.fromEntries(names.map(([name], i) => [name, models[i]!]));
    await serveUntil(stopped, named, index, flags);
  });
}

async function serveUntil(
  stopped: Promise<void>,
  models: Readonly<Record<string, EvaClip>>,
  index: VectorStore | undefined,
  flags: ServeFlags,
): Promise<void> {
  let running: RunningServer | undefined;
  // Errors that clients are not told go where the requests are logged.
  const logger = { warn: (message: string) => (running ? running.log.warn(message) : say(message)) };
  await using handler: RequestHandler = createHandler(models, handlerOptions(flags, index, logger));
  const { host, port, allowHosts, maxConnections, logLevel, drainMs, timeoutMs } = flags;
  const listening = withoutUndefined({ host, port, allowHosts, maxConnections, logLevel });
  const times = {
    bodyTimeoutMs: Math.max(timeoutMs, LEAST_BODY_MS),
    // A connection that waits for its answer has no traffic.
    idleTimeoutMs: timeoutMs + 60_000,
  };
  await using server = await serve(handler, { ...listening, ...times });
  running = server;
  const started = { url: server.url, models: Object.keys(models), pid: process.pid };
  printResult(started, flags.json, () => `serving ${started.models.join(", ")} at ${server.url}`);
  await stopped;
  if (!(await server.close(drainMs))) say(`requests that took longer than ${drainMs} ms were cut off`);
}

function handlerOptions(
  flags: ServeFlags,
  index: VectorStore | undefined,
  logger: { warn(message: string): void },
) {
  const { maxBatch, maxDelayMs, maxQueue, maxBodyMb, maxImages, maxTexts, maxPixels, timeoutMs } = flags;
  const { apiKey, cors = [], allowImageHosts = [], page, basePath, readyTimeoutMs } = flags;
  const limits = {
    maxBodyBytes: maxBodyMb * MEBIBYTE,
    // A queue that is shorter than a request would refuse it even when it is empty.
    maxImages: Math.min(maxImages, maxQueue),
    maxTexts: Math.min(maxTexts, maxQueue),
    ...{ maxPixels, timeoutMs },
  };
  const more = {
    apiKey,
    allowImageHosts,
    page,
    basePath,
    readiness: { timeoutMs: readyTimeoutMs },
    index,
    logger,
  };
  const batching = { maxBatch, maxDelayMs, maxQueue };
  return withoutUndefined({ ...batching, ...more, limits, cors: cors.includes("*") || cors });
}
