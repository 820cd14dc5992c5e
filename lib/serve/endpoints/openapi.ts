import { z } from "zod";
import { errorAnswer } from "./answer_schemas";
import type { Route } from "../route";

const { version } = require("../../../package.json") as { version: string };

type Json = Record<string, unknown>;

/** Statuses of errors that any endpoint with a body may answer. */
const BODY_ERRORS = {
  400: "A field is wrong: param names it.",
  404: "There is no such model.",
  408: "The body did not arrive in time.",
  413: "The body is too large.",
  415: "A body of this content-type or encoding is not read.",
  429: "Too many samples wait: retry after the seconds of Retry-After.",
  500: "The service failed.",
  503: "The service is shutting down.",
  504: "The request took too long.",
};

/** The JSON Schema of what a zod schema takes. */
function schemaOf(schema: z.ZodType): Json {
  const { $schema, ...json } = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" });
  return json;
}

const jsonContent = (schema: Json) => ({ "application/json": { schema } });

/** A form has the fields of the JSON, but images are files. */
function formSchema({ properties, ...json }: Json): Json {
  const { image, images, messages, ...others } = properties as Json;
  const files = { type: "array", items: { type: "string", contentMediaType: "application/octet-stream" } };
  const required = ((json.required as string[] | undefined) ?? []).filter((field) => field in others);
  return {
    type: "object",
    properties: { ...others, image: files },
    ...(required.length > 0 && { required }),
  };
}

function requestBody({ body, forms = false }: Route): Json | undefined {
  if (!body) return undefined;
  const json = schemaOf(body);
  const image = { schema: { type: "string", contentMediaType: "image/*" } };
  const form = { "multipart/form-data": { schema: formSchema(json) }, "image/*": image };
  return { required: true, content: { ...jsonContent(json), ...(forms && form) } };
}

function errorsOf({ body }: Route): Json {
  const error = jsonContent({ $ref: "#/components/schemas/Error" });
  const statuses = body ? Object.entries(BODY_ERRORS) : [];
  return Object.fromEntries(
    statuses.map(([status, description]) => [status, { description, content: error }]),
  );
}

function operationOf(route: Route): Json {
  const { path, summary, answer, isPublic = false } = route;
  const names = [...path.matchAll(/[:*](\w+)/g)].map(([, name]) => name);
  const parameters = names.map((name) => ({ name, in: "path", required: true, schema: { type: "string" } }));
  const content = answer && jsonContent(schemaOf(answer));
  const body = requestBody(route);
  return {
    summary,
    ...(parameters.length > 0 && { parameters }),
    ...(body && { requestBody: body }),
    responses: {
      200: { description: "The answer.", ...(content && { content }) },
      ...errorsOf(route),
      default: { description: "An error.", content: jsonContent({ $ref: "#/components/schemas/Error" }) },
    },
    // The key is needed where the service has one.
    security: isPublic ? [] : [{}, { bearer: [] }],
  };
}

/** The description of an API in the format of OpenAPI 3.1, of the routes that have a summary. */
export function openapiOf(routes: readonly Route[]): Json {
  const paths: Record<string, Json> = {};
  for (const route of routes.filter(({ summary }) => summary !== undefined)) {
    const path = route.path.replace(/[:*](\w+)/g, "{$1}");
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: operationOf(route) };
  }
  return {
    openapi: "3.1.0",
    info: { title: "eva-clip", version, description: "Embeddings of images and texts, and classification." },
    paths,
    components: {
      schemas: { Error: schemaOf(errorAnswer) },
      securitySchemes: { bearer: { type: "http", scheme: "bearer" } },
    },
  };
}

/** The route that answers the description of `routes` and of itself. */
export function openapiRoute(routes: readonly Route[]): Route {
  let text: string | undefined;
  const route: Route = {
    method: "GET",
    path: "/openapi.json",
    isPublic: true,
    summary: "This description.",
    handle: () => {
      text ??= JSON.stringify(openapiOf([...routes, route]));
      return new Response(text, { headers: { "content-type": "application/json" } });
    },
  };
  return route;
}
