import type { z } from "zod";
import type { ServiceContext } from "./context";

/** A request that a route answers. */
export interface Call {
  readonly request: Request;
  readonly url: URL;
  /** Decoded values of the path's parameters. */
  readonly params: Readonly<Record<string, string>>;
  /** Aborted when the client is gone or the time is over. */
  readonly signal: AbortSignal;
  /** Counts bytes of the request that stay in memory. @throws HttpError 429 when all requests hold too many */
  hold(bytes: number): void;
  /** Whether the body is still arriving: a request that is late then is late by the client's fault. */
  readonly arrival: { isUnderWay: boolean };
}

/** An endpoint. What `handle` throws becomes an answer: an HttpError as it says, other errors by their code. */
export interface Route {
  readonly method: "GET" | "POST";
  /** `:name` stands for one part of the path, and `*name` at the end for the rest of it. */
  readonly path: string;
  /** Whether it is answered without the API key. */
  readonly isPublic?: boolean;
  /** What it does, for /openapi.json, which leaves out routes without one. */
  readonly summary?: string;
  /** What its JSON body may hold. */
  readonly body?: z.ZodType;
  /** Whether the body may also be multipart/form-data or an image. */
  readonly forms?: boolean;
  /** What it answers. */
  readonly answer?: z.ZodType;
  handle(call: Call, context: ServiceContext): Response | Promise<Response>;
}

export type FoundRoute =
  | { readonly route: Route; readonly params: Record<string, string> }
  /** The methods that the path has; none for an unknown path. */
  | { readonly route: undefined; readonly allowed: readonly string[] };

const PARAMETER = /([:*])(\w+)/g;

function patternOf(path: string): RegExp {
  const source = path
    .replaceAll(".", "\\.")
    .replace(PARAMETER, (_, kind: string, name: string) => `(?<${name}>${kind === ":" ? "[^/]+" : ".+"})`);
  return new RegExp(`^${source}/?$`);
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** Finds the route of a method and path. */
export function routeFinder(routes: readonly Route[]): (method: string, path: string) => FoundRoute {
  const patterns = routes.map((route) => ({ route, pattern: patternOf(route.path) }));
  return (method, path) => {
    const matches = patterns.flatMap(({ route, pattern }) => {
      const match = pattern.exec(path);
      return match ? [{ route, groups: match.groups ?? {} }] : [];
    });
    const found = matches.find(({ route }) => route.method === (method === "HEAD" ? "GET" : method));
    if (!found) {
      const methods = matches.flatMap(({ route }) => (route.method === "GET" ? ["GET", "HEAD"] : ["POST"]));
      return { route: undefined, allowed: [...new Set(methods)] };
    }
    const params = Object.entries(found.groups).map(([name, value]) => [name, decoded(value)]);
    return { route: found.route, params: Object.fromEntries(params) };
  };
}
