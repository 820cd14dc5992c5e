// Serves the trained model over HTTP: a page at /, POST /v1/embeddings as OpenAI has it, POST /v1/classify, and more,
// which /openapi.json describes.
import { EvaClip } from "eva-clip";
import { createHandler, serve } from "eva-clip/serve";

async function main() {
  // A published model by its name serves as well: EvaClip.load("EVA02-CLIP-B-16").
  const model = await EvaClip.load("model");
  const handler = createHandler({ shapes: model }, { page: true });
  const server = await serve(handler, { port: Number(process.env.PORT ?? 8080) });
  console.log(`${server.url}  (end with Ctrl+C)`);

  const stop = async () => {
    await server.close(); // answers the requests under way
    await handler.dispose();
    await model.dispose();
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, stop);
}

main();
