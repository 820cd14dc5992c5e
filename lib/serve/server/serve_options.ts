import { z } from "zod";
import { listOf, oneOf, options, positiveInteger, text, wholeNumber } from "../../arguments";

export type LogLevel = "debug" | "info" | "warn" | "error" | "silent";

/** Other machines cannot reach it. */
export const DEFAULT_HOST = "127.0.0.1";

export interface ServeOptions {
  /** Address or name to listen at. Default 127.0.0.1, which other machines cannot reach. */
  readonly host?: string;
  /** Default 8080; 0 is any free one. */
  readonly port?: number;
  /**
   * Host names that clients may use: `clip.example.com`, `*.example.com`, `*`; others get status 421. Localhost and IP
   * addresses are always allowed. Default: any name, but on loopback none, which protects from DNS rebinding.
   */
  readonly allowHosts?: readonly string[];
  /** Connections at a time; further ones are closed. Default 1024. */
  readonly maxConnections?: number;
  /** Milliseconds for the headers of a request to arrive. Default 10,000. */
  readonly headersTimeoutMs?: number;
  /** Milliseconds for a whole request to arrive. Default 60,000. */
  readonly bodyTimeoutMs?: number;
  /** Milliseconds that an unused connection is kept, longer than a proxy in front keeps it. Default 75,000. */
  readonly keepAliveMs?: number;
  /** Milliseconds without any traffic after which a connection is closed, also one that waits for its answer. Default 120,000. */
  readonly idleTimeoutMs?: number;
  /** Least level of the log, whose lines are JSON. Default `silent`. */
  readonly logLevel?: LogLevel;
  /** Where the log goes. Default standard error. */
  readonly logStream?: { write(line: string): unknown };
}

const milliseconds = positiveInteger.max(2 ** 31 - 1).optional();
export const serveOptions = options({
  host: text.min(1).optional(),
  port: wholeNumber.max(65_535).optional(),
  allowHosts: listOf(text, "a list of hosts").optional(),
  maxConnections: positiveInteger.optional(),
  headersTimeoutMs: milliseconds,
  bodyTimeoutMs: milliseconds,
  keepAliveMs: milliseconds,
  idleTimeoutMs: milliseconds,
  logLevel: oneOf("debug", "info", "warn", "error", "silent").optional(),
  logStream: z
    .custom((value) => typeof (value as { write?: unknown } | null)?.write === "function", {
      error: "a stream, with write",
    })
    .optional(),
});
