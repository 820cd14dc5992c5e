import { checkArgument, instanceOf } from "../arguments";
import { EvaClip } from "../clip/eva_clip";
import { modelFingerprint } from "../clip/model_fingerprint";
import { EvaClipError } from "../errors";
import { vectorStore } from "./export/export_arguments";
import type { VectorStore } from "./vector_store";

/**
 * Checks that a model is the one that embedded an index: queries of another one would find arbitrary images. Reads the
 * model's weights, so check once, not per query.
 * @throws EvaClipError `ERR_EVACLIP_INDEX_MISMATCH` when its weights or its preprocessing are others
 */
export async function checkIndexModel(index: VectorStore, model: EvaClip): Promise<void> {
  checkArgument("checkIndexModel: index", index, vectorStore);
  checkArgument("checkIndexModel: model", model, instanceOf(EvaClip));
  const fingerprint = await model.asOneCall(() => modelFingerprint(model.model));
  if (fingerprint === index.fingerprint) return;
  const made = index.model === "" ? "another model" : index.model;
  const message =
    `${index.path} was embedded by ${made} (${index.fingerprint}), but this is a model of other weights or preprocessing ` +
    `(${fingerprint}): search it with that model`;
  throw new EvaClipError("ERR_EVACLIP_INDEX_MISMATCH", message, {
    path: index.path,
    field: "fingerprint",
    expected: index.fingerprint,
    found: fingerprint,
  });
}
