# What the scripts share. Sourced, it makes a temporary folder, which goes when the script ends, and goes there.
set -euo pipefail
findings=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

# with_pip PACKAGE==VERSION...: python is that of an environment in the folder, with these packages.
with_pip() {
  python3 -m venv venv
  export PATH="$folder/venv/bin:$PATH"
  pip install --quiet --disable-pip-version-check "$@"
}

# with_npm PACKAGE@VERSION...: modules in the folder can import these packages.
with_npm() {
  echo '{ "private": true, "type": "module" }' > package.json
  npm install --silent --no-audit --no-fund --ignore-scripts "$@"
}

# with FILE...: copies of files that stand beside the scripts.
with() {
  local name
  for name in "$@"; do cp "$findings/$name" .; done
}
