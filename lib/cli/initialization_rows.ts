import type { ParameterStart } from "../weights";

/** The number of a block in a name. */
const BLOCK = /(^|\.)(blocks|resblocks|layers)\.(\d+)\./;

function blockOf(name: string): number | undefined {
  const number = BLOCK.exec(name)?.[3];
  return number === undefined ? undefined : Number(number);
}

const withBlock = (name: string, block: string) => name.replace(BLOCK, `$1$2.${block}.`);

/** What a row says besides its name, with `block` for the number of the block in the names of tensors. */
function originOf({ origin, path, from = [], note }: ParameterStart, block: string): string {
  const tensors = from.map((name) => withBlock(name, block)).join(", ");
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
 * Names and origins of parameters for people: one row for what all blocks have in common, with the numbers of the blocks in
 * the place of one.
 */
export function initializationRows(parameters: readonly ParameterStart[]): (readonly [string, string])[] {
  const rows = new Map<string, { start: ParameterStart; blocks: number[] }>();
  for (const start of parameters) {
    const block = blockOf(start.name);
    const key = `${withBlock(start.name, "*")} ${originOf(start, "*")}`;
    const row = rows.get(key) ?? { start, blocks: [] };
    if (block !== undefined) row.blocks.push(block);
    rows.set(key, row);
  }
  return [...rows.values()].map(({ start, blocks }) => {
    const numbers = ranges(blocks);
    return [withBlock(start.name, numbers), originOf(start, numbers)] as const;
  });
}
