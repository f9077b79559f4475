#!/bin/sh
# Tests report.html in a real browser. Needs Node 20 or newer, Chromium and poppler's pdftotext.
#   REPORT_DEMO     report.html of `audit --demo`, with its accounts, findings and waivers
#   REPORT_HOSTILE  report.html of a world whose names are markup, direction marks and 10,000 letters
#   REPORT_LARGE    report.html of 200,000 connectors
#   CHROMIUM        the browser (default /usr/bin/chromium)
#   SCREENSHOTS     a directory to leave pictures and PDFs in, to be looked at (default: none)
set -eu
for name in REPORT_DEMO REPORT_HOSTILE REPORT_LARGE; do
  eval "path=\${$name:-}"
  if [ ! -f "$path" ]; then
    echo "$name must name a report.html, and is '${path}'" >&2
    exit 2
  fi
  export "$name=$(realpath "$path")"
done
if [ -n "${SCREENSHOTS:-}" ]; then
  SCREENSHOTS=$(realpath -m "$SCREENSHOTS")
fi
cd "$(dirname "$0")"
for program in node npm pdftotext; do
  command -v "$program" >/dev/null || { echo "$program is not installed" >&2; exit 2; }
done
[ -x "${CHROMIUM:=/usr/bin/chromium}" ] || { echo "no browser at $CHROMIUM; set CHROMIUM" >&2; exit 2; }
export CHROMIUM
npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
exec node --test --test-reporter=spec page.test.mjs
