// Endpoints of a model in a fastify app: npx ts-node examples/service/fastify.ts MODEL
import { EvaClip } from "eva-clip";
import { createHandler, toNodeHandler } from "eva-clip/serve";
import fastify, { type FastifyInstance } from "fastify";

/** An app with the endpoints of a model below `/clip`, beside its own routes. */
export function makeApp(model: EvaClip): FastifyInstance {
  const app = fastify();
  const handler = createHandler(model, { basePath: "/clip" });
  const answer = toNodeHandler(handler);
  app.register(
    async (scope) => {
      // The handler reads bodies itself, so that it can stop at its limits.
      scope.removeAllContentTypeParsers();
      scope.addContentTypeParser("*", (_request, _body, done) => done(null));
      scope.all("/*", async (request, reply) => {
        reply.hijack();
        await answer(request.raw, reply.raw);
      });
    },
    { prefix: "/clip" },
  );
  app.get("/", () => ({ hello: "world" }));
  app.addHook("onClose", () => handler.dispose());
  return app;
}

async function main(path: string): Promise<void> {
  const model = await EvaClip.load(path);
  console.log(await makeApp(model).listen({ port: 3000 }));
}

if (require.main === module) void main(process.argv[2] ?? "model");
