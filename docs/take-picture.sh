#!/usr/bin/env bash
# Takes the README's picture, docs/report.png: the page of the demo, as it opens.
#   docs/take-picture.sh [REPORT_HTML]     a report.html that is there already; else the demo is run
#   CHROMIUM                               the browser (default /usr/bin/chromium)
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

report=${1:-}
if [ -z "$report" ]; then
  # A fixed clock, so that the picture changes only where the page does.
  SOURCE_DATE_EPOCH=1795256100 cargo run --quiet --release -- audit --demo --quiet --output "$work/reports" >/dev/null
  report=$work/reports/latest/report.html
fi
[ -f "$report" ] || { echo "take-picture.sh: there is no $report" >&2; exit 1; }

"${CHROMIUM:-/usr/bin/chromium}" --headless --no-sandbox --disable-gpu --disable-quic --no-first-run \
  --disable-background-networking --disable-component-update --disable-sync --user-data-dir="$work/profile" \
  --hide-scrollbars --window-size=1280,1400 --screenshot="$work/report.png" "file://$(realpath "$report")" 2>"$work/log" || {
  cat "$work/log" >&2
  exit 1
}
[ -s "$work/report.png" ] || { cat "$work/log" >&2; echo "take-picture.sh: the browser took no picture" >&2; exit 1; }
mv "$work/report.png" docs/report.png
echo "docs/report.png, $(stat -c %s docs/report.png) bytes"
