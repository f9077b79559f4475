#!/usr/bin/env bash
# What can be said of deploy/, .github/ and deny.toml without a cluster, a container engine or GitHub: from the root of the
# repository, with systemd-analyze, promtool and Python. Needs the package registries of Python and, for deny.toml, of Rust.
set -Eeuo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")/../.."

# The exposure of the service by systemd's own measure, in tenths: 20 is 2.0 of 10.
most_exposed=20
# The oldest and the newest Kubernetes whose schemas the manifests must fit.
kubernetes=(1.29 1.36)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'echo "deploy: FAILED at: $current" >&2' ERR
current="the tools"
about() {
  current=$1
  echo "deploy: $current"
}

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: -r tests/deploy/requirements.txt
PATH=$work/venv/bin:$PATH

about "systemd units"
mkdir -p "$work/units"
for unit in deploy/systemd/*.service deploy/systemd/*.timer; do
  # What the service runs need not be installed here for its unit to be right.
  sed 's#/usr/local/bin/cf-sso-audit#/bin/true#' "$unit" >"$work/units/$(basename "$unit")"
done
said=$(systemd-analyze verify "$work"/units/* 2>&1) || { echo "$said" >&2; false; }
[ -z "$said" ] || { echo "$said" >&2; false; }
systemd-analyze security --no-pager --offline=true --threshold="$most_exposed" "$work/units/cf-sso-audit.service" | tail -n 1

about "Dockerfile"
hadolint deploy/docker/Dockerfile
# Cargo finds every target in what the build is given.
while read -r path; do
  mkdir -p "$work/context/$(dirname "$path")"
  cp -r "$path" "$work/context/$path"
done < <(sed -n 's/^!//p' deploy/docker/Dockerfile.dockerignore)
cargo metadata --no-deps --locked --offline --format-version 1 --manifest-path "$work/context/Cargo.toml" >/dev/null

about "Kubernetes manifests"
for folder in deploy/kubernetes/*/; do
  manifests=("$folder"*.yaml)
  for index in "${!manifests[@]}"; do
    [ "$(basename "${manifests[index]}")" != kustomization.yaml ] || unset "manifests[index]"
  done
  if command -v kubectl >/dev/null; then
    kubectl kustomize "$folder" >"$work/kustomized.yaml"
    manifests=("$work/kustomized.yaml")
  else
    echo "deploy: there is no kubectl: $folder is judged without kustomize"
  fi
  for version in "${kubernetes[@]}"; do
    kubernetes-validate --quiet --strict --kubernetes-version "$version" "${manifests[@]}"
  done
done

about "alerts"
promtool check rules deploy/prometheus/alerts.yml >"$work/alerts.txt" || { cat "$work/alerts.txt" >&2; false; }

about "workflows"
workflows=(.github/workflows/*.yml deploy/github/*.yml)
check-jsonschema --builtin-schema vendor.github-workflows "${workflows[@]}"
zizmor --quiet --offline --config .github/zizmor.yml "${workflows[@]}"

about "crates, by deny.toml"
cargo-deny --locked check bans licenses sources
echo "deploy: all passed"
