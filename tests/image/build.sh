#!/usr/bin/env bash
# Builds the image with buildah on a stand-in base, and holds what is in it.
#
#   make image-check [IMAGE_SCRATCH=FOLDER]
#
# Needs root, debootstrap and buildah, no Docker. With FOLDER, its bases are kept there for the next time; without, all
# is thrown away. The stand-ins: Debian bookworm with its own Python 3.11 for `python:3.11-slim-bookworm`, and placeholder
# scripts for Beam's boot program and the Flex Template launcher. So this shows what our part of the image does, not
# that the public bases can be pulled, nor that boot and launcher start it.
set -euo pipefail
cd "$(dirname "$0")/../.."

for tool in debootstrap buildah; do
  command -v "$tool" >/dev/null || { echo "$tool is missing" >&2; exit 2; }
done
[[ $EUID = 0 ]] || { echo "root is needed, for debootstrap and to build without a daemon" >&2; exit 2; }

kept=${1:-}
scratch=${kept:-$(mktemp -d)}
mkdir -p "$scratch/tmp"
scratch=$(realpath "$scratch")
export BUILDAH_ISOLATION=chroot TMPDIR=$scratch/tmp
store=(--storage-driver vfs --root "$scratch/storage" --runroot "$scratch/run")
b() { buildah "${store[@]}" "$@"; }
finish() {
  b rm --all >/dev/null 2>&1 || true
  b rmi --prune >/dev/null 2>&1 || true
  if [[ -z $kept ]]; then rm -rf "$scratch"; fi
}
trap finish EXIT
path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
bases=localhost/dropcast-stand-in
image=localhost/dropcast:check

python_base() {
  local container root mirror
  container=$(b from scratch)
  root=$(b mount "$container")
  # what this machine itself installs from; nothing of it is left in the root
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Codename: bookworm' 'Component: main' 2>/dev/null | head -n 1) || true
  debootstrap --variant=minbase --include=ca-certificates,python3,python3-pip,python3-venv \
    bookworm "$root" ${mirror:+"$mirror"} >"$scratch/debootstrap.log" || { tail "$scratch/debootstrap.log" >&2; exit 1; }
  ln -s python3.11 "$root/usr/bin/python"
  rm -rf "$root"/etc/{apt/sources.list,hostname,resolv.conf} "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/* \
    "$root"/var/log/*
  b config --cmd python3 --env PATH="$path" "$container"
  b commit --quiet --rm "$container" "$bases/python" >/dev/null
}

placeholder_base() {  # name, the one file that it has
  local container
  printf '#!/bin/sh\necho "a placeholder for %s, which could not be pulled" >&2\nexit 1\n' "$2" > "$scratch/placeholder"
  chmod 755 "$scratch/placeholder"
  container=$(b from scratch)
  b copy --quiet "$container" "$scratch/placeholder" "$2" >/dev/null
  b commit --quiet --rm "$container" "$bases/$1" >/dev/null
}

echo "== Bases"
b inspect --type image "$bases/python" >/dev/null 2>&1 || python_base
placeholder_base beam /opt/apache/beam/boot
placeholder_base launcher /opt/google/dataflow/python_template_launcher

echo "== Build"
# How this machine reaches a package index is lent to the build as files, which no layer keeps.
lent=()
settings=$(python3 -m pip config list 2>/dev/null | sort |
  sed -nE "s/^(global|:env:)\.(cert|index-url|extra-index-url|trusted-host|proxy|timeout)='(.*)'/\2 = \3/p" |
  awk '!seen[$1]++') || true  # the environment's comes first, and wins
if [[ -n $settings ]]; then
  printf '[global]\n%s\n' "$settings" > "$scratch/pip.conf"
  lent+=(--volume "$scratch/pip.conf:/etc/pip.conf:ro")
  certificates=$(sed -n 's/^cert = //p' "$scratch/pip.conf")
  [[ -z $certificates ]] || lent+=(--volume "$certificates:$certificates:ro")
fi
b bud --quiet --pull-never "${lent[@]}" --tag "$image" \
  --build-arg PYTHON="$bases/python" --build-arg BEAM="$bases/beam" --build-arg LAUNCHER="$bases/launcher" \
  --build-arg IMAGE="$image" --build-arg VERSION=0.0.0 --build-arg REVISION=abc . \
  >"$scratch/build.log" 2>&1 || { tail -n 40 "$scratch/build.log" >&2; exit 1; }

echo "== What the image says of itself"
says() {  # Go template, expected
  local found
  found=$(b inspect --type image --format "$1" "$image")
  [[ $found = "$2" ]] || { echo "$1 is '$found' instead of '$2'" >&2; exit 1; }
  echo "$found"
}
says '{{.OCIv1.Config.Entrypoint}}' '[/opt/apache/beam/boot]'
says '{{.OCIv1.Config.User}}' ''
says '{{.OCIv1.Config.Env}}' "[PATH=/opt/dropcast/bin:$path DROPCAST_IMAGE=$image \
FLEX_TEMPLATE_PYTHON_PY_FILE=/template/flex_main.py RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1 \
NUMBA_CPU_NAME=x86-64-v2 NUMBA_CPU_FEATURES= PYTHONUNBUFFERED=1]"
for label in title=dropcast version=0.0.0 revision=abc licenses=Apache-2.0; do
  says "{{index .OCIv1.Config.Labels \"org.opencontainers.image.${label%%=*}\"}}" "${label#*=}"
done
container=$(b from --pull-never "$image")
root=$(b mount "$container")
base=$(b mount "$(b from --pull-never "$bases/python")")
megabytes() { echo $(($(du -sb "$1" | cut -f1) / 1000000)); }
echo "unpacked: $(megabytes "$root") MB, of which the stand-in base $(megabytes "$base") MB"

echo "== Inside, without a network"
# Read from standard input, so that nothing is put into the image to check it.
unshare --net buildah "${store[@]}" run --env DROPCAST_IMAGE_EXPECTED="$image" "$container" -- \
  python - < tests/image/inside.py
echo "== All is as it should be"
