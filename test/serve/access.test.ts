import type { EvaClip } from "eva-clip";
import type { HandlerOptions } from "../../lib/serve/handler_options";
import { makeModel, type Service, serviceOf, useService } from "./service";

let model: EvaClip;

beforeAll(async () => {
  model = await makeModel();
});

afterAll(() => model.dispose());

const withService = (options: HandlerOptions, use: (service: Service) => Promise<void>) =>
  useService(model, options, use);

describe("API keys", () => {
  const authorization = (value: string) => ({ headers: { authorization: value } });

  test("are not needed by default", () =>
    withService({}, async ({ get }) => {
      expect((await get("/v1/models")).status).toBe(200);
    }));

  test("of which any may be given, and no other", () =>
    withService({ apiKey: ["first", "second"] }, async ({ get }) => {
      for (const key of ["first", "second"])
        expect((await get("/v1/models", authorization(`Bearer ${key}`))).status).toBe(200);
      for (const init of [
        {},
        ...["Bearer third", "Bearer firs", "Bearer ", "Basic first", "first", "Bearer first second"].map(
          authorization,
        ),
      ]) {
        const { status, headers, json } = await get("/v1/models", init);
        expect([status, headers.get("www-authenticate")]).toEqual([401, "Bearer"]);
        expect(json.error).toMatchObject({ type: "authentication_error", code: "invalid_api_key" });
      }
    }));

  test("are needed before a body is read, and for metrics, but not by probes", () =>
    withService({ apiKey: "secret" }, async ({ get, post }) => {
      expect((await post("/v1/embeddings", "not even an object")).status).toBe(401);
      expect((await get("/metrics")).status).toBe(401);
      for (const path of ["/healthz", "/readyz", "/openapi.json"]) expect((await get(path)).status).toBe(200);
    }));

  test("that are empty are refused", () => {
    expect(() => serviceOf(model, { apiKey: "" })).toThrow("apiKey");
  });
});

describe("cross-origin requests", () => {
  const origin = { headers: { origin: "https://app.example.com" } };
  const preflight = {
    method: "OPTIONS",
    headers: { ...origin.headers, "access-control-request-method": "POST" },
  };

  test("are not allowed by default", () =>
    withService({}, async ({ get }) => {
      const { headers } = await get("/healthz", origin);
      expect(headers.get("access-control-allow-origin")).toBeNull();
      expect((await get("/v1/embeddings", preflight)).status).toBe(405);
    }));

  test("are allowed to listed origins, errors included", () =>
    withService({ cors: ["https://app.example.com"], apiKey: "secret" }, async ({ get }) => {
      const { status, headers } = await get("/v1/models", origin);
      expect([status, headers.get("access-control-allow-origin")]).toEqual([401, origin.headers.origin]);
      expect(headers.get("vary")).toBe("origin");
      const other = await get("/v1/models", { headers: { origin: "https://evil.example.com" } });
      expect(other.headers.get("access-control-allow-origin")).toBeNull();
      const asked = await get("/v1/embeddings", preflight);
      expect([asked.status, asked.headers.get("access-control-allow-methods")]).toEqual([204, "GET, POST"]);
      expect(asked.headers.get("access-control-allow-headers")).toBe("authorization, content-type");
      expect(asked.headers.get("access-control-allow-origin")).toBe(origin.headers.origin);
    }));

  test("are allowed to all origins", () =>
    withService({ cors: true }, async ({ get }) => {
      const { headers } = await get("/healthz", origin);
      expect(headers.get("access-control-allow-origin")).toBe("*");
    }));
});

test("metrics count requests by route and status", () =>
  withService({}, async ({ get, post }) => {
    await post("/v1/embeddings", { input: "a" });
    await get("/v1/models/unknown");
    const { json: text, headers } = await get("/metrics");
    expect(headers.get("content-type")).toContain("text/plain");
    const lines = text.split("\n").filter((line: string) => line.startsWith("eva_clip_request_count"));
    for (const [route, status] of [
      ["/v1/embeddings", "200"],
      ["/v1/models/*name", "404"],
    ])
      expect(
        lines.filter((line: string) => line.includes(`"${route}"`) && line.includes(`"${status}"`)),
      ).toEqual([expect.stringMatching(/ 1$/)]);
    expect(lines).toHaveLength(2);
    expect(text.includes('eva_clip_texts_total{model="eva-clip"} 1')).toBe(true);
  }));

test.each([
  [{ maxQueu: 3 }, "did you mean maxQueue"],
  [{ limits: { maxBodyByte: 3 } }, "did you mean maxBodyBytes"],
  [{ limits: { timeoutMs: 2 ** 31 } }, "limits.timeoutMs"],
  [{ cors: "https://a.example" }, "cors"],
  [{ allowImageHosts: ["https://a.example/"] }, "allowImageHosts"],
  [{ basePath: "clip/" }, "basePath"],
])("createHandler refuses the options %j", (options, message) => {
  expect(() => serviceOf(model, options as HandlerOptions)).toThrow(message);
});
