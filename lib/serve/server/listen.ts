import type { AddressInfo } from "node:net";
import type { FastifyInstance } from "fastify";
import { anyFunction, checkArgument, ownArgument, wholeNumber } from "../../arguments";
import { EvaClipError } from "../../errors";
import type { Logger } from "../../logger";
import { createApp, type ServedHandler } from "./http_server";
import { DEFAULT_HOST, type ServeOptions, serveOptions } from "./serve_options";

export type { ServedHandler } from "./http_server";
export type { LogLevel, ServeOptions } from "./serve_options";

/** A server that listens. */
export interface RunningServer extends AsyncDisposable {
  /** Such as http://127.0.0.1:8080. */
  readonly url: string;
  /** Writes to the server's log. */
  readonly log: Required<Logger>;
  /**
   * Accepts no more connections and waits for the requests under way. Idempotent.
   * @param drainMs after which connections are cut. Default 10,000
   * @returns whether every request was answered
   */
  close(drainMs?: number): Promise<boolean>;
}

/** Default of `close`. */
const DRAIN_MS = 10_000;

/**
 * Serves a handler over HTTP.
 * @throws EvaClipError `ERR_EVACLIP_LISTEN` when the address is in use or not of this machine
 */
export async function serve(handler: ServedHandler, options: ServeOptions = {}): Promise<RunningServer> {
  checkArgument("serve: handler", handler, anyFunction);
  const own = ownArgument("serve: options", options, serveOptions);
  const { host = DEFAULT_HOST, port = 8080 } = own;
  const app = createApp(handler, own);
  try {
    await app.listen({ host: host === "localhost" ? "127.0.0.1" : host, port });
  } catch (error) {
    await app.close();
    throw listenError(host, port, error as NodeJS.ErrnoException);
  }
  let closed: Promise<boolean> | undefined;
  const close = (drainMs = DRAIN_MS) => {
    checkArgument("close: drainMs", drainMs, wholeNumber);
    closed ??= closeApp(app, handler, drainMs);
    return closed;
  };
  return {
    url: urlOf(app),
    log: { info: (message) => app.log.info(message), warn: (message) => app.log.warn(message) },
    close,
    [Symbol.asyncDispose]: async () => {
      await close();
    },
  };
}

async function closeApp(app: FastifyInstance, handler: ServedHandler, drainMs: number): Promise<boolean> {
  handler.drain?.();
  let isDrained = true;
  const cut = setTimeout(() => {
    isDrained = false;
    app.server.closeAllConnections();
  }, drainMs);
  await app.close();
  clearTimeout(cut);
  return isDrained;
}

function urlOf(app: FastifyInstance): string {
  const { address, port, family } = app.server.address() as AddressInfo;
  // The addresses that mean all of them cannot be opened in a browser everywhere.
  const host = { "0.0.0.0": "127.0.0.1", "::": "::1" }[address] ?? address;
  return `http://${family === "IPv6" ? `[${host}]` : host}:${port}`;
}

function listenError(host: string, port: number, error: NodeJS.ErrnoException): EvaClipError {
  const why =
    {
      EADDRINUSE: "the port is in use: choose another one",
      EACCES: "the port is reserved for privileged processes: choose one from 1024",
      EADDRNOTAVAIL: "the host is not an address of this machine",
      ENOTFOUND: "the host has no address",
    }[error.code ?? ""] ?? error.message;
  const details = { host, port, cause: error.code };
  return new EvaClipError("ERR_EVACLIP_LISTEN", `cannot listen at ${host}:${port}: ${why}`, details, {
    cause: error,
  });
}
