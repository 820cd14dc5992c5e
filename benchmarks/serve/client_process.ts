// The clients, in a process of their own, driven by messages of benchmarks/serve.ts.
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { Clients, type Seen } from "./clients";
import type { Workload } from "./workload";

type Order = { start: { url: string; workload: Workload; clients: number } } | "restart" | "look" | "stop";

export interface Report {
  seen: Seen;
  /** Seconds of a core that the clients have used since the last look or restart. */
  cpuSeconds: number;
}

/** Handle of the process that the clients run in. */
export class ClientProcess {
  readonly #child: ChildProcess;
  /** Rejects when the process ends. */
  readonly #ended: Promise<never>;

  constructor(url: string, workload: Workload, clients: number) {
    this.#child = fork(__filename, ["--clients"], { execArgv: process.execArgv, serialization: "advanced" });
    this.#ended = once(this.#child, "exit").then(([code]) => {
      throw new Error(`the clients ended with ${code}`);
    });
    this.#ended.catch(() => undefined);
    this.#tell({ start: { url, workload, clients } });
  }

  /** Ends the warm-up. */
  restart(): void {
    this.#tell("restart");
  }

  async look(): Promise<Report> {
    this.#tell("look");
    const [report] = (await Promise.race([once(this.#child, "message"), this.#ended])) as [Report];
    return report;
  }

  async stop(): Promise<void> {
    this.#tell("stop");
    await once(this.#child, "exit");
  }

  #tell(order: Order): void {
    this.#child.send(order);
  }
}

function serveOrders(): void {
  let clients: Clients;
  let usage = process.cpuUsage();
  // Without the benchmark there is nobody to report to.
  process.on("disconnect", () => process.exit());
  process.on("message", (order: Order) => {
    if (order === "look") {
      const { user, system } = process.cpuUsage(usage);
      process.send!({ seen: clients.seen, cpuSeconds: (user + system) / 1e6 } satisfies Report);
    } else if (order === "restart") {
      clients.restart();
      usage = process.cpuUsage();
    } else if (order === "stop") void clients.stop().then(() => process.disconnect());
    else clients = new Clients(order.start.url, order.start.workload, order.start.clients);
  });
}

if (process.argv[2] === "--clients") serveOrders();
