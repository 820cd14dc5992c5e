import { createHash } from "node:crypto";
import { dirname, resolve } from "node:path";
import { abortable } from "../../abortable";
import { checkArgument, instanceOf, invalidArgument, ownArgument, pathText } from "../../arguments";
import type { Encoder } from "../../clip/encoder";
import { EvaClip } from "../../clip/eva_clip";
import { modelFingerprint } from "../../clip/model_fingerprint";
import { datasetArgument } from "../../data/checked_dataset";
import type { Dataset } from "../../data/dataset";
import { isEvaClipError } from "../../errors";
import { makeFolder } from "../../io/make_folder";
import { ExactWriter } from "../exact/exact_writer";
import type { IndexStatement, IndexWriter, Version } from "../index_writer";
import { SqlWriter } from "../sql/sql_writer";
import { type BuildIndexOptions, buildOptions } from "./build_options";
import { embedImages, type PlacedImage } from "./embed_images";
import { type BuildPart, joinParts, missingParts, partPath, partsOf, removeParts } from "./parts";

const DEFAULT_BATCH = 32;

export interface BuildIndexResult {
  readonly path: string;
  /** Images embedded by this call. */
  readonly embedded: number;
  /** Images of this process that an earlier build had embedded. */
  readonly unchanged: number;
  /** Entries removed because their image is gone. */
  readonly removed: number;
  /** Samples whose image an earlier sample has, too. */
  readonly repeated: number;
  /** Images that could not be used, by reason. */
  readonly skips: Readonly<Record<string, number>>;
  /** Entries of the index; undefined while parts of other processes are missing. */
  readonly size: number | undefined;
  /** Ranks whose part is missing. */
  readonly missingParts: readonly number[];
}

/** A hash of the images of a data set, in order. */
function listingOf(images: readonly Version[]): string {
  const hash = createHash("sha256");
  for (const { source, version } of images) hash.update(`${source}\0${version}\0`);
  return hash.digest("hex").slice(0, 32);
}

/**
 * Embeds the images of a data set into an index, or continues or updates one: only images that are new or have changed are
 * embedded, and entries of images that are gone are removed. The index replaces the one of that name when it is complete;
 * what a killed build has done is kept beside it. One call of the model: its `dispose` waits for it.
 *
 * @param path `.safetensors`, or `.db` or `.sqlite` for a database, whose searches can be filtered and which is updated in place
 * @throws EvaClipError `ERR_EVACLIP_INDEX_MISMATCH` when the index was embedded by another model or has another root;
 *   `ERR_EVACLIP_RUN_ACTIVE` while another process builds it; `ERR_EVACLIP_NOT_FINITE` naming an image;
 *   `ERR_EVACLIP_DATA`, `ERR_EVACLIP_IO`, `ERR_EVACLIP_DISK_FULL`
 */
export async function buildIndex(
  model: EvaClip,
  dataset: Dataset,
  path: string,
  options: BuildIndexOptions = {},
): Promise<BuildIndexResult> {
  checkArgument("buildIndex: model", model, instanceOf(EvaClip));
  checkArgument("buildIndex: dataset", dataset, datasetArgument);
  checkArgument("buildIndex: path", path, pathText);
  const own = ownArgument("buildIndex: options", options, buildOptions);
  if (isDatabase(path)) refuseForDatabase(own);
  const building = model.asOneCall(async (encoder) => {
    const statement: IndexStatement = {
      model: own.modelPath ?? "",
      fingerprint: await modelFingerprint(model.model),
      dimensions: model.embedDim,
      root: resolve(own.root ?? "."),
    };
    await makeFolder(dirname(resolve(path)));
    return new Build(encoder, dataset, resolve(path), statement, own).run();
  });
  return abortable(building, own.signal);
}

/** One call of `buildIndex`. */
class Build {
  readonly #skips: Record<string, number> = {};

  constructor(
    private readonly encoder: Encoder,
    private readonly dataset: Dataset,
    private readonly path: string,
    private readonly statement: IndexStatement,
    private readonly options: BuildIndexOptions,
  ) {}

  async run(): Promise<BuildIndexResult> {
    const { part } = this.options;
    return part === undefined || part.size === 1 ? this.#whole() : this.#part(part);
  }

  async #whole(): Promise<BuildIndexResult> {
    await using writer = await this.#openWriter();
    const found = await this.#embed(writer, () => true);
    const kept = await imagesIn(writer, found.images);
    const removed = await writer.commit(kept);
    await removeParts(this.path);
    return this.#result(found, kept.length, { removed, size: kept.length, missingParts: [] });
  }

  async #openWriter(): Promise<IndexWriter> {
    if (isDatabase(this.path)) return SqlWriter.open(this.path, this.statement);
    const { storage = "f32" } = this.options;
    return ExactWriter.open(this.path, this.statement, { storage, more: await partsOf(this.path) });
  }

  async #part(part: BuildPart): Promise<BuildIndexResult> {
    const isOwn = (position: number) => position % part.size === part.rank;
    const own = partPath(this.path, part);
    const { found, kept, listing } = await this.#writePart(own, isOwn);
    const missing = await missingParts(this.path, part.size, listing);
    const joined = missing.length === 0 ? await this.#join(found.images) : undefined;
    return this.#result(found, kept, {
      removed: joined?.removed ?? 0,
      size: joined?.size,
      missingParts: missing,
    });
  }

  async #writePart(path: string, isOwn: (position: number) => boolean) {
    const more = [this.path, ...(await partsOf(this.path))];
    await using writer = await ExactWriter.open(path, this.statement, { more });
    const found = await this.#embed(writer, isOwn);
    const kept = await imagesIn(
      writer,
      found.images.filter(({ position }) => isOwn(position)),
    );
    const listing = listingOf(found.images);
    await writer.commit(kept, listing);
    return { found, kept: kept.length, listing };
  }

  /** Undefined while another process, which has finished at the same time, joins the parts. */
  async #join(images: readonly Version[]) {
    try {
      return await joinParts(this.path, this.statement, images, this.options.storage ?? "f32");
    } catch (error) {
      if (isEvaClipError(error, "ERR_EVACLIP_RUN_ACTIVE")) return undefined;
      throw error;
    }
  }

  async #embed(writer: IndexWriter, isOwn: (position: number) => boolean) {
    const { batchSize = DEFAULT_BATCH, onProgress, onSkip, signal } = this.options;
    return embedImages(this.encoder, writer, {
      dataset: this.dataset,
      root: this.statement.root,
      batchSize,
      isOwn,
      onProgress: (done) => onProgress?.(done, this.dataset.size),
      onSkip: async (skip) => {
        this.#skips[skip.reason] = (this.#skips[skip.reason] ?? 0) + 1;
        await onSkip?.(skip);
      },
      signal,
    });
  }

  #result(
    { embedded, repeated }: { embedded: number; repeated: number },
    kept: number,
    rest: Pick<BuildIndexResult, "removed" | "size" | "missingParts">,
  ): BuildIndexResult {
    return { path: this.path, embedded, unchanged: kept - embedded, repeated, skips: this.#skips, ...rest };
  }
}

function refuseForDatabase({ storage = "f32", part }: BuildIndexOptions): void {
  const advice = "build a .safetensors index, and export it";
  if (storage !== "f32")
    throw invalidArgument(`buildIndex: options.storage: a database stores f32; ${advice}`);
  if (part === undefined || part.size === 1) return;
  throw invalidArgument(`buildIndex: options.part: a database is written by one process; ${advice}`);
}

/** Whether an index at a path is a database. */
const isDatabase = (path: string) => /\.(db|sqlite3?)$/i.test(path);

/** The images that the index has: without those that could not be used. */
async function imagesIn(writer: IndexWriter, images: readonly PlacedImage[]): Promise<Version[]> {
  const kept: Version[] = [];
  for (const image of images) if (await writer.has(image)) kept.push(image);
  return kept;
}
