#!/usr/bin/env bash
# What a stranger meets: the README's two commands in a fresh clone of what is committed, without any cache; then the
# contract tests in a tree without .git, which is what Cloud Build gets. Prints how long each took.
set -euo pipefail
here=$(cd "$(dirname "$0")/../.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

git clone --quiet --no-hardlinks "$here" "$scratch/clone"
mkdir "$scratch/cache" "$scratch/archive"
git -C "$scratch/clone" archive HEAD | tar -x -C "$scratch/archive"
# pip's cache, and numba's, which lies in the clone unless a variable names another place
export PIP_NO_CACHE_DIR=1 XDG_CACHE_HOME="$scratch/cache"
unset VIRTUAL_ENV PYTHONPATH PYTHONHOME NUMBA_CACHE_DIR NUMBA_CPU_NAME MAKEFLAGS MAKELEVEL

run() {  # name, command ...
  local name=$1 began=$SECONDS
  shift
  echo "== $name"
  (cd "$scratch/clone" && "$@")
  took+="$(printf '%5d s  %s' $((SECONDS - began)) "$name")"$'\n'
}
took=
run 'make demo' make demo
run 'make test' make test
run 'contract tests in a tree without .git' env -C "$scratch/archive" "$scratch/clone/.venv/bin/python" -m pytest tests/contracts \
  -m 'not long and not cloud and not browser and not terraform'
printf '%s' "$took"
