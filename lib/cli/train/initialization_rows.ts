import type { ParameterStart } from "../../weights";

/** A block number in a parameter's name. */
const BLOCK = /(^|\.)(blocks|resblocks|layers)\.(\d+)\./;

function blockOf(name: string): number | undefined {
  const number = BLOCK.exec(name)?.[3];
  return number === undefined ? undefined : Number(number);
}

const withBlock = (name: string, block: string) => name.replace(BLOCK, `$1$2.${block}.`);

/** The second column of a row, with `block` as the block number in the names of tensors. */
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

/** Names and origins of parameters: blocks that differ only in their number share one row, with a range of numbers. */
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
