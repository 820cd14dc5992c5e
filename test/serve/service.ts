import { EvaClip } from "eva-clip";
import sharp from "sharp";
import smallModel from "../../scripts/package_consumer/small_model.json";
import type { ClipConfigInput } from "../../lib/models/clip_config";
import { createHandler, type RequestHandler } from "../../lib/serve/handler";
import type { HandlerOptions } from "../../lib/serve/handler_options";

/** A small random model, quick to make. */
export function makeModel(config: Partial<ClipConfigInput> = {}): Promise<EvaClip> {
  return EvaClip.create({ ...smallModel, ...config }, { device: "cpu", threads: 1, init: "fan_in" });
}

/** A PNG of one color. */
export function picture(background: string, width = 48, height = 40): Promise<Buffer> {
  return sharp({ create: { width, height, channels: 3, background } })
    .png()
    .toBuffer();
}

export const dataUri = (png: Uint8Array) => `data:image/png;base64,${Buffer.from(png).toString("base64")}`;

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: answers are what the tests are about
  readonly json: any;
}

export async function answerOf(response: Response): Promise<Answer> {
  const text = await response.text();
  const isJson = response.headers.get("content-type")?.startsWith("application/json");
  return {
    status: response.status,
    headers: response.headers,
    json: isJson && text !== "" ? JSON.parse(text) : text,
  };
}

export interface Service {
  readonly model: EvaClip;
  readonly handler: RequestHandler;
  readonly get: (path: string, init?: RequestInit) => Promise<Answer>;
  /** Sends JSON. */
  readonly post: (path: string, body: unknown, init?: RequestInit) => Promise<Answer>;
  /** Sends anything. */
  readonly send: (path: string, init: RequestInit) => Promise<Answer>;
}

export function serviceOf(model: EvaClip, options: HandlerOptions = {}): Service {
  const handler = createHandler(model, options);
  const send = async (path: string, init: RequestInit) =>
    answerOf(await handler(new Request(`http://localhost${path}`, init)));
  return {
    model,
    handler,
    get: (path, init = {}) => send(path, init),
    post: (path, body, init = {}) =>
      send(path, {
        method: "POST",
        body: JSON.stringify(body),
        ...init,
        headers: { "content-type": "application/json", ...init.headers },
      }),
    send: (path, init) => send(path, { method: "POST", ...init }),
  };
}

/** Largest difference of two vectors of the same length. */
export function difference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length);
  return Array.from(a).reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);
}

/** Whether each row of an answer is the embedding that the model itself gives. */
export function expectRows(rows: readonly ArrayLike<number>[], expected: readonly Float32Array[]): void {
  expect(rows).toHaveLength(expected.length);
  rows.forEach((row, i) => {
    expect(difference(row, expected[i]!)).toBeLessThanOrEqual(1e-6);
  });
}

/** Runs `use` with a service, and ends it. */
export async function useService(
  model: EvaClip,
  options: HandlerOptions,
  use: (service: Service) => Promise<void>,
): Promise<void> {
  const service = serviceOf(model, options);
  try {
    await use(service);
  } finally {
    await service.handler.dispose();
  }
}
