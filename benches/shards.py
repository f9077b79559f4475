#!/usr/bin/env python3
"""Times an audit that is divided among shards against what the rate limit allows, and prints a Markdown table.

    cargo build --release
    benches/shards.py target/release/cf-sso-audit
    benches/shards.py target/release/cf-sso-audit --accounts 2000 --shards 1,2,4,8 --window 10

One simulated API serves made-up accounts and takes a token for each shard, each behind a limit of its own: a request more
is answered with 429, and the token is shut out for a whole window, as Cloudflare does it. For each number of shards, all
of them start at once, each with its own token and its share of one file of accounts; then their runs are merged. Needs
nothing but Python.

The arithmetic: a shard of n accounts may send R requests in a window of W seconds, and 200 in a second. So it needs
floor((n - 1) / R) windows, and a second more for each further 200 that are left over. The time of an audit is that of its
largest shard. A shard reads until its last account is answered, and then judges and writes; "beyond" is what reading
takes beyond the arithmetic. Ends with 1 where an answer was a 429, or the merged run does not have every account.
"""

import argparse
import csv
import hashlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

A_SECOND = 200


def shard_of(account, shards):
    """As docs/shards.md has it."""
    return int.from_bytes(hashlib.sha256(account.encode()).digest()[:8], "big") % shards


def arithmetic(accounts, requests, window):
    """The seconds that the limit makes so many requests take."""
    windows, rest = divmod(max(accounts - 1, 0), requests)
    return windows * window + rest // A_SECOND


def said(log, key):
    """What the line of a log that has a key says."""
    log.seek(0)
    for line in log:
        fields = json.loads(line)
        fields = {**fields, **fields.get("fields", {})}
        if key in fields:
            return fields
    sys.exit(f"no line of the log says {key}")


class Simulator:
    """The simulated API, until the block ends; then how many requests it answered, and how many of these with 429."""

    def __init__(self, binary, accounts, tokens, rate=None):
        command = [binary, "simulate", "-v", "--log-format", "json", "--accounts", str(accounts), "--connectors", "2"]
        command += ["--tokens", str(tokens)]
        if rate:
            command += ["--rate", rate]
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, text=True)
        self.tokens = []
        for line in self.process.stdout:
            if found := re.search(r"CLOUDFLARE_BASE_URL=(\S+)", line):
                self.base_url = found[1]
            elif found := re.search(r"CLOUDFLARE_API_TOKEN=(\S+)", line):
                self.tokens.append(found[1])
            elif "--all-accounts" in line:
                break

    def environment(self, shard=0):
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
        return {**kept, "CLOUDFLARE_BASE_URL": self.base_url, "CLOUDFLARE_API_TOKEN": self.tokens[shard]}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        self.process.wait()
        served = said(self.log, "throttled")
        self.requests, self.throttled = served["requests"], served["throttled"]


def measure(options, folder, names, shards):
    rate, limit = f"{options.rate}/{options.window}s", f"{options.limit}/{options.window}s"
    of_shards = [sum(shard_of(name, shards) == shard for name in names) for shard in range(shards)]
    runs = [folder / f"{shards}-{shard}" for shard in range(shards)]
    with Simulator(options.binary, options.accounts, shards, limit) as api:
        began = time.monotonic()
        running, logs = [], []
        for shard, run in enumerate(runs):
            command = [options.binary, "audit", "-v", "--log-format", "json", "--rate", rate, "--format", "csv", "--output", str(run)]
            command += ["--accounts-file", str(folder / "accounts.csv"), "--shard", f"{shard}/{shards}"]
            logs.append(tempfile.TemporaryFile("w+"))
            streams = {"stdout": subprocess.DEVNULL, "stderr": logs[-1]}
            running.append(subprocess.Popen(command, env=api.environment(shard), **streams))
        codes = [process.wait() for process in running]
        took = time.monotonic() - began
    if any(codes):
        sys.exit(f"{shards} shards ended with {codes}")
    reading = max(said(log, "requests")["seconds"] for log in logs)
    merged = folder / f"{shards}-merged"
    began = time.monotonic()
    command = [options.binary, "merge", "-q", "--format", "csv", "--output", str(merged)]
    subprocess.run([*command, *(str(run / "latest") for run in runs)], check=True, stdout=subprocess.DEVNULL)
    merging = time.monotonic() - began
    with open(merged / "latest" / "accounts.csv", encoding="utf-8-sig") as file:
        read = [row["account_id"].lstrip("'") for row in csv.DictReader(file) if row["outcome"] == "read"]
    if read != names:
        sys.exit(f"{len(names)} accounts were named, and the run merged of {shards} shards has others")
    expected = arithmetic(max(of_shards), options.rate, options.window)
    print(
        f"| {shards} | {max(of_shards)} | {expected:.2f} | {reading:.2f} | {reading / expected - 1:+.1%} | {took:.2f} |"
        f" {api.requests} | {api.throttled} | {merging:.2f} |",
        flush=True,
    )
    return api.throttled


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", type=lambda path: str(pathlib.Path(path).resolve()))
    parser.add_argument("--accounts", type=int, default=1200)
    parser.add_argument("--shards", type=lambda text: [int(number) for number in text.split(",")], default=[1, 2, 4])
    parser.add_argument("--window", type=int, default=3, help="seconds; Cloudflare's is 300")
    parser.add_argument("--rate", type=int, default=100, help="requests in a window that a shard sends; usually 1000")
    parser.add_argument("--limit", type=int, default=120, help="requests in a window that are allowed; Cloudflare's is 1200")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        with Simulator(options.binary, options.accounts, 1) as api:
            listed = subprocess.run([options.binary, "accounts"], env=api.environment(), check=True, capture_output=True)
        (folder / "accounts.csv").write_bytes(listed.stdout)
        rows = csv.DictReader(listed.stdout.decode("utf-8-sig").splitlines())
        names = [row["account_id"].lstrip("'") for row in rows]
        print(f"{len(names)} accounts; {options.rate} requests in {options.window} s for each shard.\n")
        print("| shards | accounts of the largest | arithmetic, s | reading, s | beyond | whole audit, s | requests | 429 | merge, s |")
        print("|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
        throttled = [measure(options, folder, names, shards) for shards in options.shards]
    sys.exit(1 if any(throttled) else 0)


if __name__ == "__main__":
    main()
