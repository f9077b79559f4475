#!/usr/bin/env bash
# Tries Cloudflare's own SDKs, of PyPI and npm, on a simulated API: all six SSO operations, the list of accounts, and the
# verification of the token. They are installed into a temporary folder. Exits 0 only if every answer was as expected.
#
#   cf-sso-audit simulate --listen 127.0.0.1:8787 --accounts 45 --connectors 3     # in one shell; it prints two exports
#   tests/sdk/try_sdks.sh                                                          # in another, after pasting them
#
# It makes, changes and deletes connectors, so it refuses any address but loopback.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
: "${CLOUDFLARE_BASE_URL:?set it to what \`cf-sso-audit simulate\` prints}"
: "${CLOUDFLARE_API_TOKEN:?set it to what \`cf-sso-audit simulate\` prints}"
[[ $CLOUDFLARE_BASE_URL =~ ^http://(127\.0\.0\.1|localhost|\[::1\])(:[0-9]+)?/ ]] || {
    echo "try_sdks: CLOUDFLARE_BASE_URL is $CLOUDFLARE_BASE_URL, which is not on loopback: this would change real connectors." >&2
    exit 2
}
export NO_PROXY=127.0.0.1,localhost,::1 no_proxy=127.0.0.1,localhost,::1

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check cloudflare==5.9.0
# Node looks for packages beside the program.
cp "$here/try_node.mjs" "$here/package.json" "$here/package-lock.json" "$folder/"
(cd "$folder" && npm ci --silent --ignore-scripts --no-audit --no-fund)

failed=0
"$folder/venv/bin/python" "$here/try_python.py" || failed=1
node "$folder/try_node.mjs" || failed=1
exit "$failed"
