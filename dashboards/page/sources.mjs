// The fingerprint of everything the bundle is made of. The same is computed in ../build.rs: a bundle that carries another one
// is stale, and is not built into the program.

import { createHash } from "node:crypto";
import { readFileSync, readdirSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const HERE = dirname(fileURLToPath(import.meta.url));
const PARTS = ["index.html", "package-lock.json", "package.json", "sources.mjs", "src", "tsconfig.json", "vite.config.mjs"];

const filesBelow = (path) => (statSync(join(HERE, path)).isDirectory() ? readdirSync(join(HERE, path)).flatMap((name) => filesBelow(`${path}/${name}`)) : [path]);

export function fingerprint() {
  const hash = createHash("sha256");
  for (const path of PARTS.flatMap(filesBelow).sort()) {
    const bytes = readFileSync(join(HERE, path));
    hash.update(`${path}\n${bytes.length}\n`);
    hash.update(bytes);
  }
  return hash.digest("hex");
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.log(fingerprint());
