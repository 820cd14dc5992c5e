import type { Batcher } from "./batcher";
import type { ServiceContext } from "./context";
import { HttpError } from "./http_error";

export interface ServedModel {
  readonly name: string;
  readonly batcher: Batcher;
}

/**
 * The model that a request names; without a name, the only one.
 * @throws HttpError 404 `model_not_found`; 400 without a name where there are several
 */
export function servedModel({ models }: ServiceContext, name: string | undefined): ServedModel {
  const names = [...models.keys()];
  if (name === undefined && names.length > 1) {
    throw new HttpError(400, `model must be one of ${names.join(", ")}`, {
      code: "missing_model",
      param: "model",
    });
  }
  const wanted = name ?? names[0]!;
  const batcher = models.get(wanted);
  if (batcher) return { name: wanted, batcher };
  throw new HttpError(
    404,
    `the model ${JSON.stringify(wanted)} does not exist; there is ${names.join(", ")}`,
    {
      code: "model_not_found",
      param: "model",
    },
  );
}
