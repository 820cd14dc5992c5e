// Checks that every type of lib/ that a public declaration mentions can be imported from an entry point, so that users can
// name what they hold. Reads the declarations that the build would write.
import { readFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import ts from "typescript";

const root = resolve(import.meta.dirname, "..");

/** The paths of the entry points' sources, as package.json lists them. */
function entryPoints() {
  const { exports } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const sources = Object.values(exports).map((conditions) => conditions["eva-clip-source"]);
  return sources.filter((source) => source !== undefined).map((source) => join(root, source));
}

/** A program over the .d.ts files of the entry points and all that they import, which are kept in memory. */
function declarationProgram(entries) {
  const config = ts.getParsedCommandLineOfConfigFile(join(root, "tsconfig.build.json"), {}, ts.sys);
  const options = { ...config.options, outDir: root, rootDir: root, declarationDir: undefined };
  const texts = new Map();
  const source = ts.createProgram(entries, { ...options, emitDeclarationOnly: true });
  const [failure] = source.getDeclarationDiagnostics();
  if (failure) throw new Error(ts.flattenDiagnosticMessageText(failure.messageText, "\n"));
  source.emit(undefined, (path, text) => texts.set(resolve(path), text), undefined, true);
  const host = ts.createCompilerHost(options);
  const { fileExists, readFile } = host;
  // The sources must not be found in place of their declarations.
  const isSource = (path) =>
    path.startsWith(join(root, "lib")) && path.endsWith(".ts") && !path.endsWith(".d.ts");
  host.fileExists = (path) => texts.has(resolve(path)) || (!isSource(path) && fileExists(path));
  host.readFile = (path) => texts.get(resolve(path)) ?? readFile(path);
  const { getSourceFile } = host;
  host.getSourceFile = (path, version) =>
    texts.has(resolve(path))
      ? ts.createSourceFile(path, texts.get(resolve(path)), version, true)
      : getSourceFile.call(host, path, version);
  const declared = entries.map((path) => path.replace(/\.ts$/, ".d.ts"));
  return ts.createProgram(declared, { ...options, noEmit: true, skipLibCheck: false }, host);
}

const isPrivate = (node) =>
  (ts.getCombinedModifierFlags(node) & ts.ModifierFlags.Private) !== 0 ||
  (node.name !== undefined && ts.isPrivateIdentifier(node.name));

/** Names that a declaration mentions: [symbol, the node that mentions it]. */
function mentionedIn(declaration, checker) {
  const found = [];
  const visit = (node) => {
    if (ts.isClassElement(node) && isPrivate(node)) return;
    if (ts.isIdentifier(node) || ts.isImportTypeNode(node)) {
      const name = ts.isImportTypeNode(node) ? node.qualifier : node;
      const symbol = name && checker.getSymbolAtLocation(name);
      if (symbol) found.push([aliased(symbol, checker), node]);
    }
    ts.forEachChild(node, visit);
  };
  ts.forEachChild(declaration, visit);
  return found;
}

function aliased(symbol, checker) {
  return symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
}

/** What is exported, the members of exported namespaces included. */
function exportedSymbols(program, entries, checker) {
  const all = new Set();
  const add = (symbol) => {
    if (all.has(symbol)) return;
    all.add(symbol);
    if (symbol.flags & ts.SymbolFlags.ValueModule)
      for (const inner of checker.getExportsOfModule(symbol)) add(aliased(inner, checker));
  };
  for (const path of entries) {
    const module = checker.getSymbolAtLocation(program.getSourceFile(path.replace(/\.ts$/, ".d.ts")));
    for (const symbol of checker.getExportsOfModule(module)) add(aliased(symbol, checker));
  }
  return all;
}

/** A type, class, function or constant at the top of a file of lib/. */
function isTopLevel(symbol) {
  const declaration = symbol.declarations?.[0];
  if (declaration === undefined || !declaration.getSourceFile().fileName.startsWith(join(root, "lib")))
    return false;
  const statement = ts.isVariableDeclaration(declaration) ? declaration.parent.parent : declaration;
  return ts.isSourceFile(statement.parent) && !ts.isSourceFile(statement);
}

export function unnamedTypes() {
  const entries = entryPoints();
  const program = declarationProgram(entries);
  const checker = program.getTypeChecker();
  const broken = program
    .getSemanticDiagnostics()
    .filter(({ file }) => file?.fileName.startsWith(join(root, "lib")));
  const exported = exportedSymbols(program, entries, checker);
  const problems = new Map();
  for (const symbol of exported) {
    for (const declaration of symbol.declarations ?? []) {
      if (ts.isSourceFile(declaration)) continue;
      for (const [mentioned] of mentionedIn(declaration, checker)) {
        if (exported.has(mentioned) || !isTopLevel(mentioned)) continue;
        // `typeof value` needs no name of its own: the declaration has one.
        if ((mentioned.flags & ts.SymbolFlags.Type) === 0) continue;
        const file = relative(root, mentioned.declarations[0].getSourceFile().fileName).replace(
          ".d.ts",
          ".ts",
        );
        const key = `${mentioned.name} (${file})`;
        problems.set(key, [...new Set([...(problems.get(key) ?? []), symbol.name])]);
      }
    }
  }
  const unsound = broken.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, " "));
  return unsound.concat(
    [...problems].map(([name, by]) => `${name} cannot be imported, but is mentioned by ${by.join(", ")}`),
  );
}

const problems = unnamedTypes();
for (const problem of problems) console.error(`error: ${problem}`);
console.error(problems.length === 0 ? "public types: in order" : `public types: ${problems.length} problems`);
process.exitCode = problems.length === 0 ? 0 : 1;
