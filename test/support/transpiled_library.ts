import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, resolve } from "node:path";
import ts from "typescript";

const root = resolve(__dirname, "../..");

/** lib/ and test/support/ as JavaScript, so that child processes start quickly. */
export class TranspiledLibrary {
  readonly folder: string;

  constructor() {
    mkdirSync(join(root, "build"), { recursive: true });
    this.folder = mkdtempSync(join(root, "build", "transpiled-"));
    symlinkSync(join(root, "assets"), join(this.folder, "assets"));
    const compilerOptions = {
      module: ts.ModuleKind.CommonJS,
      target: ts.ScriptTarget.ES2022,
      esModuleInterop: true,
    };
    for (const part of ["lib", "test/support"]) {
      for (const name of readdirSync(join(root, part), { recursive: true, encoding: "utf8" })) {
        if (!name.endsWith(".ts")) continue;
        const source = readFileSync(join(root, part, name), "utf8");
        const path = join(this.folder, part, name.replace(/\.ts$/, ".js"));
        mkdirSync(dirname(path), { recursive: true });
        writeFileSync(path, ts.transpileModule(source, { compilerOptions }).outputText);
      }
    }
  }

  /** The path of a script of test/support. */
  script(name: string): string {
    return join(this.folder, "test", "support", name);
  }

  /** Environment by which the scripts find the addon. */
  get env(): NodeJS.ProcessEnv {
    const addon = join(root, "build", "Release", "eva_clip.node");
    return { ...process.env, EVA_CLIP_NATIVE_PATH: process.env.EVA_CLIP_NATIVE_PATH ?? addon };
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
