import { Agent, type IncomingMessage, request } from "node:http";

export interface Sent {
  method?: string;
  path: string;
  headers?: Record<string, string>;
  body?: Buffer | string;
}

export interface Answer {
  status: number;
  body: Buffer;
}

/** Connections that are kept. */
export const connections = (most: number) => new Agent({ keepAlive: true, maxSockets: most });

/** One request: node:http costs a fraction of the time that `fetch` takes, which the server then has. */
export function send(
  url: string,
  agent: Agent,
  { method = "POST", path, headers, body }: Sent,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const length = body === undefined ? {} : { "content-length": String(Buffer.byteLength(body)) };
    const outgoing = request(new URL(path, url), { method, agent, headers: { ...length, ...headers } });
    outgoing.on("error", reject);
    outgoing.on("response", (response: IncomingMessage) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () => resolve({ status: response.statusCode!, body: Buffer.concat(chunks) }));
    });
    outgoing.end(body);
  });
}
