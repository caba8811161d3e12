// Builds the explorer and keeps it in dist/, which is committed and becomes part of the binary: the
// page as it is, everything below assets/ gzipped.
//
//   node pack.js write   renews dist/
//   node pack.js check   fails when dist/ is not what the sources give
//
// What counts is the content: another machine's zlib may pack the same bytes in another way.

import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync, gzipSync } from "node:zlib";
import { build } from "vite";

const ROOT = dirname(fileURLToPath(import.meta.url));
const DIST = join(ROOT, "dist");

/** Path to content of everything that the sources give. */
async function built() {
  const outDir = mkdtempSync(join(tmpdir(), "inkstone-graphiql-"));
  try {
    await build({ root: ROOT, logLevel: "warn", build: { outDir, emptyOutDir: true } });
    return filesBelow(outDir);
  } finally {
    rmSync(outDir, { recursive: true });
  }
}

/** The same, as it was kept. */
function kept() {
  const files = existsSync(DIST) ? filesBelow(DIST) : new Map();
  return new Map([...files].map(([path, bytes]) => (path.endsWith(".gz") ? [path.slice(0, -3), gunzipSync(bytes)] : [path, bytes])));
}

function filesBelow(folder) {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const paths = entries.map((entry) => relative(folder, join(entry.parentPath, entry.name))).sort();
  return new Map(paths.map((path) => [path, readFileSync(join(folder, path))]));
}

function differences(now, before) {
  const same = (path) => now.has(path) && before.has(path) && now.get(path).equals(before.get(path));
  return [...new Set([...now.keys(), ...before.keys()])].filter((path) => !same(path)).sort();
}

function write(now, changed) {
  for (const path of changed) {
    const packed = path.startsWith("assets/");
    const target = join(DIST, packed ? `${path}.gz` : path);
    if (!now.has(path)) {
      rmSync(target);
      continue;
    }
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, packed ? gzipSync(now.get(path), { level: 9 }) : now.get(path));
  }
}

function report(now) {
  const sum = (sizes) => [...sizes].reduce((total, size) => total + size, 0);
  const raw = sum([...now.values()].map((bytes) => bytes.length));
  const stored = sum([...filesBelow(DIST).values()].map((bytes) => bytes.length));
  console.log(`dist/: ${now.size} files, ${raw} bytes, ${stored} as stored`);
}

const now = await built();
const changed = differences(now, kept());
if (process.argv[2] === "write") {
  write(now, changed);
  report(now);
} else if (changed.length > 0) {
  console.error(`dist/ is not what web/graphiql gives; run \`npm ci && npm run build\` there. Different:\n  ${changed.join("\n  ")}`);
  process.exitCode = 1;
} else {
  report(now);
}
