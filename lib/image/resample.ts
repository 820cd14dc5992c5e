import { type NativeResampleAxis, native } from "../native";
import type { Box, CropPlan } from "./crop";
import type { PlainImage } from "./formats/plain_image";
import { inTurn } from "./turns";

/** Filters of Pillow; all are widened where an image is reduced, so that it is antialiased. */
export const INTERPOLATIONS = ["bicubic", "bilinear", "lanczos", "hamming", "box"] as const;

export type Interpolation = (typeof INTERPOLATIONS)[number];

/** Larger images are decoded in parts, each from the start of the file: 100 MB instead of 800 for the largest. */
const MOST_PART_PIXELS = 2 ** 25;
/** A part is copied on this thread, in slices of so many bytes or one row, so that a copy does not hold the event loop. */
const SLICE_BYTES = 2 ** 21;
/** Height / width above which Pillow filters the rows of a reduced image first. */
const MOST_USUAL_RATIO = 100;

/** An axis of which outputs `offset` to `offset` + `count` are computed. */
const axis = (length: number, target: number, offset: number, count: number): NativeResampleAxis => ({
  ...{ length, begin: 0, end: length },
  ...{ target, offset, count },
});
/** The pixels from `offset` to `offset` + `count` as they are. */
const copied = (length: number, offset: number, count: number) => axis(length, length, offset, count);

/** A resize of which the inputs are known before any is decoded. */
function prepare(x: NativeResampleAxis, y: NativeResampleAxis, filter: Interpolation) {
  const into = new Uint8Array(x.count * y.count * 3);
  const resampler = new (native().Resampler)({ x, y, filter, into });
  const [left, right] = resampler.columns;
  const [top, bottom] = resampler.rows;
  const fill = async (decode: PlainImage["decode"]) => {
    const width = right - left;
    const partRows = Math.max(1, Math.floor(MOST_PART_PIXELS / width));
    const sliceBytes = Math.max(1, Math.floor(SLICE_BYTES / (3 * width))) * 3 * width;
    for (let row = top; row < bottom; row += partRows) {
      const height = Math.min(partRows, bottom - row);
      const pixels = await decode({ left, top: row, width, height });
      for (let at = 0; at < pixels.length; at += sliceBytes)
        await inTurn(() => resampler.add(pixels.subarray(at, at + sliceBytes)));
    }
    return into;
  };
  return { left, width: right - left, fill };
}

/**
 * Executes a plan with the bytes of Pillow's `crop`, `resize` and `crop`: RGB [after.height, after.width, 3]. Only what the
 * result depends on is decoded.
 */
export async function resample(
  image: Pick<PlainImage, "decode">,
  { before, width, height, after }: CropPlan,
  filter: Interpolation,
): Promise<Uint8Array> {
  const x = axis(before.width, width, after.left, after.width);
  const y = axis(before.height, height, after.top, after.height);
  const decode = (box: Box) =>
    image.decode({ ...box, left: before.left + box.left, top: before.top + box.top });
  const rowsFirst = before.height > MOST_USUAL_RATIO * before.width && height < before.height;
  if (!rowsFirst) return prepare(x, y, filter).fill(decode);
  const columns = prepare(x, copied(after.height, 0, after.height), filter);
  const rows = prepare(copied(before.width, columns.left, columns.width), y, filter);
  const narrow = await rows.fill(decode);
  return columns.fill(({ top, width: columnCount, height: rowCount }) =>
    Promise.resolve(narrow.subarray(top * columnCount * 3, (top + rowCount) * columnCount * 3)),
  );
}
