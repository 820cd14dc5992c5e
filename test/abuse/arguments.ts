// Mistakes in the arguments of every public function: each call returns, or throws an error with a code, within its limit.
import { appendFileSync, existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { CounterRandom } from "../../lib/random";
import { compile } from "eva-clip/graph";
import { mutate, OwnError } from "./mutation";
import { makeWorld, type PublicCall, publicCalls, uncovered, type World } from "./public_calls";
import { type Recorded, recordedCalls, recordedInputs } from "./recorded_calls";
import { expectThat, inFolder, runProgram, type Scenario, typeScript } from "./scenario";

const CALL_LIMIT_MS = 20_000;
/** Other mistakes by another seed: EVA_CLIP_ABUSE_SEED. */
const SEED = Number(process.env.EVA_CLIP_ABUSE_SEED ?? 20_261_125);

const names = [...Object.keys(publicCalls), ...Object.keys(recordedCalls)];

/** Calls by seed: each function gets its turn, then the next round begins. */
function callOf(seed: number) {
  return { name: names[seed % names.length]!, random: new CounterRandom(SEED, seed) };
}

/** Errors of ours have a code; an aborted signal's reason, and what a function of the caller's throws, is the caller's own. */
function isOurs(error: unknown): boolean {
  if (error instanceof OwnError) return true;
  const { code, name } = (error ?? {}) as { code?: unknown; name?: unknown };
  return (typeof code === "string" && code.startsWith("ERR_EVACLIP_")) || name === "AbortError";
}

async function perform({ target, after }: PublicCall, given: readonly unknown[]): Promise<void> {
  const result = await (target as (...all: unknown[]) => unknown)(...given);
  await (after as ((value: unknown) => unknown) | undefined)?.(result);
}

/** Makes the mistake while a program is recorded. */
async function performRecorded(
  world: World,
  name: string,
  random: CounterRandom,
  log: (what: string) => void,
) {
  const body = (inputs: Recorded) => {
    const call = recordedCalls[name]!(inputs);
    const { given, what } = mutate(call.given, random);
    log(what);
    (call.target as (...all: unknown[]) => unknown)(...given);
    return { y: inputs.x };
  };
  const program = await compile(world.device, recordedInputs, body as never);
  program.dispose();
}

async function attempt(world: World, seed: number, log: (line: string) => void): Promise<string | undefined> {
  const { name, random } = callOf(seed);
  let what = "";
  const note = (mistake: string) => {
    what = mistake;
    log(`${seed} ${name} ${mistake}`);
  };
  const work = async () => {
    if (name in recordedCalls) return performRecorded(world, name, random, note);
    const call = await publicCalls[name]!(world);
    const mutation = mutate(call.given, random);
    note(mutation.what);
    return perform(call, mutation.given);
  };
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${CALL_LIMIT_MS} ms`)), CALL_LIMIT_MS);
  });
  try {
    await Promise.race([work(), limit]);
  } catch (error) {
    if (!isOurs(error))
      return `${seed} ${name} (${what}): ${(error as Error)?.stack?.slice(0, 600) ?? error}`;
    const { message } = error as Error;
    if (message.length > 2_100) return `${seed} ${name} (${what}): a message of ${message.length} characters`;
  } finally {
    clearTimeout(timer);
  }
  return undefined;
}

/** In a process of its own: the calls of the seeds from `begin` to `end`; failures go to standard output. */
async function child(begin: number, end: number, folder: string): Promise<void> {
  const progress = join(folder, "progress");
  // Some mistakes are paths of files to write.
  process.chdir(folder);
  process.on("uncaughtException", (error) =>
    process.stdout.write(`FAIL uncaught ${error.stack?.slice(0, 600)}\n`),
  );
  process.on("unhandledRejection", (error) =>
    process.stdout.write(`FAIL unhandled ${(error as Error)?.stack?.slice(0, 600) ?? error}\n`),
  );
  const world = await makeWorld(join(folder, "world"));
  for (let seed = begin; seed < end; seed++) {
    const failure = await attempt(world, seed, (line) => appendFileSync(progress, `${line}\n`));
    if (failure !== undefined) process.stdout.write(`FAIL ${failure.replaceAll("\n", " | ")}\n`);
  }
  await world.device.dispose();
  process.exit(0);
}

async function inChildren(count: number): Promise<string[]> {
  const failures: string[] = [];
  let begin = 0;
  while (begin < count) {
    await inFolder(async (folder) => {
      const words = [...typeScript, __filename, String(begin), String(count), folder];
      const ending = await runProgram(words, { limitMs: 60_000 + (count - begin) * 2_000 });
      failures.push(...ending.out.split("\n").filter((line) => line.startsWith("FAIL")));
      const progress = join(folder, "progress");
      const last = existsSync(progress)
        ? readFileSync(progress, "utf8").trim().split("\n").at(-1)!
        : `${begin} before the first call`;
      if (ending.code === 0) {
        begin = count;
      } else {
        failures.push(`FAIL ${ending.signal ?? `exit ${ending.code}`} in ${last}: ${ending.err.slice(-300)}`);
        begin = Math.max(begin, Number(last.split(" ")[0])) + 1;
      }
      rmSync(progress, { force: true });
    });
    if (failures.length > 200) break;
  }
  return failures;
}

export const argumentMistakes: Scenario = {
  name: "mistaken arguments",
  async run(amount) {
    const missing = uncovered();
    expectThat(missing.length === 0, () => `public functions without a call here: ${missing.join(", ")}`);
    const count = amount === "full" ? 2_000 : 300;
    const failures = await inChildren(count);
    expectThat(failures.length === 0, () => `${failures.length} of ${count} calls:\n${failures.join("\n")}`);
    return `${count} mistakes in the arguments of ${names.length} functions: each returned or threw a coded error`;
  },
};

if (require.main === module) {
  const [begin, end, folder] = process.argv.slice(2);
  void child(Number(begin), Number(end), folder!);
}
