#!/bin/sh
# Lists connectors as one would with curl and jq: see ../side-by-side.py.
#   curl-jq.sh ACCOUNTS_FILE OUT_DIR AT_ONCE
set -eu
accounts=$1 out=$2 at_once=$3

mkdir "$out/answers"
awk -v base="$CLOUDFLARE_BASE_URL" -v answers="$out/answers" '
  { printf "url = \"%s/accounts/%s/sso_connectors\"\noutput = \"%s/%s\"\n", base, $1, answers, $1 }
' "$accounts" >"$out/transfers"
# On standard input, the token is not on the command line.
printf 'header = "Authorization: Bearer %s"\n' "$CLOUDFLARE_API_TOKEN" |
  curl --silent --show-error --fail --parallel --parallel-max "$at_once" --config - --config "$out/transfers"

columns='"account_id","connector_id","email_domain","enabled","status","use_fedramp_language","created_on","updated_on"'
echo "$columns" >"$out/connectors.csv"
find "$out/answers" -type f -print0 | xargs -0 jq --raw-output '
  (input_filename | split("/") | last) as $account
  | .result[]
  | [$account, .id, .email_domain, .enabled, .verification.status, .use_fedramp_language, .created_on, .updated_on]
  | @csv
' >>"$out/connectors.csv"
awk -F, 'NR == 1 || $5 != "\"verified\""' "$out/connectors.csv" >"$out/unverified_domains.csv"
awk -F, 'NR == 1 || $4 != "true"' "$out/connectors.csv" >"$out/disabled_connectors.csv"
