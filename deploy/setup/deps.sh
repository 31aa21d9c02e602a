#!/usr/bin/env bash
# Sets up what the demo and the tests need, into .deps/ (git-ignored). Run it as often as you like: each part leaves a
# stamp with a hash of what it was made from, and is skipped while that holds.
#
#   .deps/chdb/libchdb.so                the ClickHouse engine, from npm, pinned by version and SHA-256
#   .deps/venv/                          Python packages, pinned by version and SHA-256
#   .deps/onnxruntime/libonnxruntime.so  the library inside the onnxruntime wheel
#   prometheus, promtool, prometheus-alertmanager, amtool   from Debian, where they are not on the PATH already
#
# `deps.sh browser` adds chromium from Debian, with which `make smoke` looks at the page.
set -euo pipefail
cd "$(dirname "$0")/../.."
here=deploy/setup
deps=$PWD/.deps
mkdir -p "$deps/download"

say() { printf 'deps: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# fresh NAME KEY PATH…: true while NAME was made from KEY and every PATH is there.
fresh() {
    local stamp="$deps/.$1.stamp" key=$2 path
    shift 2
    [[ -f $stamp && $(<"$stamp") == "$key" ]] || return 1
    for path in "$@"; do [[ -e $path ]] || return 1; done
}
done_with() { printf '%s\n' "$2" >"$deps/.$1.stamp"; }

# --- the ClickHouse engine -------------------------------------------------------------------------------------------

engine_version=26.7.3-stable.1
engine_package=@chdb/lib-linux-x64-gnu
engine_sha256=c0d32b129e988f2b9a9a31c9141aecf5e1e2453f9a079efc4d36ab8e3f92b2ad

download_engine() {
    local archive=$1
    if [[ -f $archive ]] && sha256sum --status -c <<<"$engine_sha256  $archive"; then return; fi
    command -v npm >/dev/null || die "npm is not on the PATH; install Node with npm, or set store.engine to a ClickHouse of your own"
    say "downloading $engine_package $engine_version (178 MB)"
    npm pack --silent --pack-destination "$deps/download" "$engine_package@$engine_version" >/dev/null
    sha256sum --status -c <<<"$engine_sha256  $archive" ||
        die "$archive is not what was pinned ($engine_sha256); it is left there to be looked at"
}

setup_engine() {
    local target=$deps/chdb/libchdb.so key="$engine_package@$engine_version $engine_sha256"
    fresh engine "$key" "$target" && return
    [[ $(uname -sm) == "Linux x86_64" ]] ||
        die "the embedded engine is pinned for Linux on x86-64 only; on $(uname -sm) install ClickHouse and set store.url, or store.engine to its binary"
    local archive="$deps/download/chdb-lib-linux-x64-gnu-$engine_version.tgz" unpacked="$deps/chdb.new"
    download_engine "$archive"
    say "unpacking the engine (566 MB)"
    rm -rf "$unpacked" && mkdir -p "$unpacked"
    tar -xzf "$archive" -C "$unpacked" --strip-components=1 package/libchdb.so package/package.json
    rm -rf "$deps/chdb" && mv "$unpacked" "$deps/chdb"
    rm -f "$archive"
    done_with engine "$key"
}

# --- Debian packages -------------------------------------------------------------------------------------------------

as_root() {
    if ((EUID == 0)); then "$@"
    elif command -v sudo >/dev/null; then sudo "$@"
    else die "needs root for: $*"
    fi
}

# apt_install PACKAGE…: without their recommendations, and without starting the services that they bring.
apt_install() {
    local policy=/usr/sbin/policy-rc.d
    command -v apt-get >/dev/null || die "no apt-get here; install by hand what gives: $*"
    say "installing from Debian: $*"
    if [[ ! -e $policy ]]; then
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod +x "$policy"
        # shellcheck disable=SC2064  # expanded now on purpose
        trap "rm -f '$policy' 2>/dev/null || sudo rm -f '$policy'" EXIT
    fi
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q update >&2
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends "$@" >&2
    if [[ -d /run/systemd/system ]]; then
        for service in "$@"; do as_root systemctl disable --now "$service" >/dev/null 2>&1 || true; done
    fi
}

setup_packages() {
    local missing=()
    command -v prometheus >/dev/null && command -v promtool >/dev/null || missing+=(prometheus)
    command -v prometheus-alertmanager >/dev/null && command -v amtool >/dev/null || missing+=(prometheus-alertmanager)
    ((${#missing[@]} == 0)) || apt_install "${missing[@]}"
}

# --- Python ----------------------------------------------------------------------------------------------------------

setup_python() {
    local venv=$deps/venv key
    local python=${PYTHON:-python3}
    key="$("$python" --version 2>&1) $(cat $here/python.txt $here/python-no-deps.txt | sha256sum | cut -c1-64)"
    fresh python "$key" "$venv/bin/python" && return
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || die "$python is older than 3.11; set PYTHON to a newer one"
    "$python" -c 'import ensurepip' 2>/dev/null || apt_install python3-venv
    say "installing Python packages (about 230 MB down)"
    rm -rf "$venv"
    "$python" -m venv "$venv"
    local pip=("$venv/bin/python" -m pip --disable-pip-version-check --no-input install --require-hashes --only-binary :all: --progress-bar off)
    "${pip[@]}" -r $here/python.txt >&2
    "${pip[@]}" --no-deps -r $here/python-no-deps.txt >&2
    done_with python "$key"
}

# The library inside the wheel, under a name that does not change with the version.
setup_onnxruntime() {
    local capi library link=$deps/onnxruntime/libonnxruntime.so
    capi=$(echo "$deps"/venv/lib/python3.*/site-packages/onnxruntime/capi)
    library=$(basename "$(ls "$capi"/libonnxruntime.so.*)")
    mkdir -p "$deps/onnxruntime"
    ln -sfn "$(realpath --relative-to="$deps/onnxruntime" "$capi")/$library" "$link"
    [[ -e $link ]] || die "$link points nowhere; remove .deps/.python.stamp and run again"
}

setup_browser() { command -v chromium >/dev/null || apt_install chromium; }

case ${1:-} in
"") ;;
browser) setup_browser ;;
*) die "knows nothing of '$1'; write nothing, or 'browser'" ;;
esac
setup_packages
setup_engine
setup_python
setup_onnxruntime
say "ready"
