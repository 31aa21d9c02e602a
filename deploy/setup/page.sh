#!/usr/bin/env bash
# Makes the web page, dashboards/page/dist/, from its sources, and what its tests need. Idempotent: packages are installed again
# only when the lockfile changed, and the page is made again only when a source did.
set -euo pipefail
cd "$(dirname "$0")/../../dashboards/page"

say() { printf 'page: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

command -v node >/dev/null && command -v npm >/dev/null ||
    die "node and npm are not on the PATH; install Node 20.19 or newer, or run 'cargo build --release --locked' for a program without its page"
node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' ||
    die "Node $(node --version) is older than 20.19; install a newer one"

key="$(node --version) $(sha256sum package-lock.json .npmrc | sha256sum | cut -c1-64)"
stamp=node_modules/.driftline.stamp
if [[ ! -f $stamp || $(<"$stamp") != "$key" ]]; then
    say "installing its packages (about 25 MB down; pinned and verified)"
    npm ci --ignore-scripts --loglevel=error >&2
    printf '%s\n' "$key" >"$stamp"
fi
if [[ ! -f dist/index.html || $(<dist/sources.txt) != "$(node sources.mjs)" ]]; then
    say "building it"
    npm run --silent build -- --logLevel warn >&2
fi
