import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";

interface Point {
  readonly id: number | string;
  readonly vector: number[];
  readonly payload: unknown;
}

/** What requests hold. */
interface Body {
  readonly vectors: unknown;
  readonly points: readonly (Point | number)[];
  readonly offset: number;
  readonly limit: number;
}

/** Answers as Qdrant's REST API documents it, for collections of one vector per point. */
export class QdrantServer implements AsyncDisposable {
  readonly requests: string[] = [];
  readonly points = new Map<number | string, Point>();
  /** What the next upsert is refused with. */
  refusal: { status: number; error: string } | undefined;
  apiKey: string | undefined;
  private readonly server = createServer(async (request, response) => {
    const { status, body } = await this.answer(request);
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
  });

  private constructor(public vectors: unknown) {}

  /** @param vectors the parameters of an existing collection `birds` */
  static async start(vectors?: unknown): Promise<QdrantServer> {
    const server = new QdrantServer(vectors);
    server.server.listen(0, "127.0.0.1");
    await once(server.server, "listening");
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.server.closeAllConnections();
    this.server.close();
  }

  private async answer(request: IncomingMessage): Promise<{ status: number; body: unknown }> {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part);
    const { pathname, searchParams } = new URL(request.url!, "http://localhost");
    const called = `${request.method} ${pathname}`;
    this.requests.push(called);
    const failed = (status: number, error: string) => ({ status, body: { status: { error }, time: 0 } });
    if (this.apiKey !== undefined && request.headers["api-key"] !== this.apiKey) {
      return failed(401, "Must provide an API key or an Authorization bearer token");
    }
    const text = Buffer.concat(parts).toString();
    if (called.startsWith("PUT /collections/birds/points") && this.refusal) {
      return failed(this.refusal.status, this.refusal.error);
    }
    const result = this.result(called, text === "" ? {} : JSON.parse(text), searchParams);
    if (result === undefined) return failed(404, `Not found: ${called}`);
    return { status: 200, body: { status: "ok", time: 0, result } };
  }

  private result(called: string, body: Partial<Body>, parameters: URLSearchParams): unknown {
    switch (called) {
      case "GET /collections/birds/exists":
        return { exists: this.vectors !== undefined };
      case "GET /collections/birds":
        return {
          status: "green",
          points_count: this.points.size,
          config: { params: { vectors: this.vectors } },
        };
      case "PUT /collections/birds":
        this.vectors = body.vectors;
        return true;
      case "PUT /collections/birds/points":
        return this.upsert((body.points ?? []) as Point[], parameters);
      case "POST /collections/birds/points/delete":
        for (const id of (body.points ?? []) as number[]) this.points.delete(id);
        return { operation_id: 0, status: "completed" };
      case "POST /collections/birds/points/scroll":
        return this.scroll(body.offset ?? 0, body.limit ?? 10);
      default:
        return undefined;
    }
  }

  private upsert(points: readonly Point[], parameters: URLSearchParams): unknown {
    if (parameters.get("wait") !== "true") return undefined;
    for (const point of points) {
      if (!Number.isSafeInteger(point.id) || !point.vector.every(Number.isFinite)) return undefined;
      this.points.set(point.id, point);
    }
    return { operation_id: 0, status: "completed" };
  }

  /** Numbers come first, in ascending order, then UUIDs. */
  private scroll(offset: number, limit: number): unknown {
    const isAfter = (id: number | string) => typeof id === "string" || id >= offset;
    const rank = (id: number | string) => (typeof id === "string" ? Number.POSITIVE_INFINITY : id);
    const ids = [...this.points.keys()].filter(isAfter).sort((a, b) => rank(a) - rank(b));
    return { points: ids.slice(0, limit).map((id) => ({ id })), next_page_offset: ids[limit] ?? null };
  }
}
