import type { ParameterStart } from "../../weights";

/** A name with `numbers` in the place of its block's number. */
function withBlock(name: string, block: number | undefined, numbers: string): string {
  return block === undefined ? name : name.replace(`.${block}.`, `.${numbers}.`);
}

/** A row without its name, with `numbers` in the place of the block's number in names of tensors. */
function originOf({ block, origin, path, from = [], note }: ParameterStart, numbers: string): string {
  const tensors = from.map((name) => withBlock(name, block, numbers)).join(", ");
  const source = path === undefined ? "" : ` ${tensors} of ${path}`;
  return `${origin}${source}${note === undefined ? "" : `: ${note}`}`;
}

/** `0-3, 7` */
function ranges(numbers: readonly number[]): string {
  const found: [number, number][] = [];
  for (const number of numbers) {
    const last = found.at(-1);
    if (last && last[1] === number - 1) last[1] = number;
    else found.push([number, number]);
  }
  return found.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(", ");
}

/**
 * Names and origins of parameters to print: one row for parameters that differ only in their block, with the numbers of all
 * these blocks.
 */
export function initializationRows(parameters: readonly ParameterStart[]): (readonly [string, string])[] {
  const rows = new Map<string, { start: ParameterStart; blocks: number[] }>();
  for (const start of parameters) {
    const { name, block } = start;
    const key = `${withBlock(name, block, "*")} ${originOf(start, "*")}`;
    const row = rows.get(key) ?? { start, blocks: [] };
    if (block !== undefined) row.blocks.push(block);
    rows.set(key, row);
  }
  return [...rows.values()].map(({ start, blocks }) => {
    const numbers = ranges(blocks);
    return [withBlock(start.name, start.block, numbers), originOf(start, numbers)] as const;
  });
}
