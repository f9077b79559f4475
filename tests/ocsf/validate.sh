#!/usr/bin/env bash
# Validates files of OCSF events against the published schema, and the schemas in this folder too. What it needs is installed
# into a temporary folder.
#
#   tests/ocsf/validate.sh reports/latest/report.ocsf.json...
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
[ "$#" -gt 0 ] || { echo "usage: validate.sh FILE..." >&2; exit 2; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
"$folder/venv/bin/python" "$here/make_schemas.py" --check
"$folder/venv/bin/python" "$here/validate.py" "$@"
