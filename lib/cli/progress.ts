import { say } from "./output";

/** Prints progress to standard error, once per second. */
export function countProgress(what: string): (done: number, total: number | undefined) => void {
  let shown = 0;
  return (done, total) => {
    if (Date.now() - shown < 1000 && done !== total) return;
    shown = Date.now();
    say(`${done}${total === undefined ? "" : `/${total}`} ${what}`);
  };
}
