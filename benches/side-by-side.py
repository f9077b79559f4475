#!/usr/bin/env python3
"""Times whole audits side by side with what else would list the same connectors, and prints a Markdown table.

    cargo build --release
    benches/side-by-side.py target/release/cf-sso-audit

nginx serves made-up accounts on loopback. In each round every contestant runs once, in turn; the table has the medians.
Each that claims to list connectors has to have listed the right ones. Needs nginx and GNU time; a contestant whose tools
are missing is left out, and that is said. Cloudflare's SDKs are installed from npm and PyPI, in the versions pinned here,
into a temporary folder or the one of --peers; nothing else is installed. See BENCHMARKS.md.
"""

import argparse
import contextlib
import csv
import datetime
import importlib.util
import json
import os
import pathlib
import platform
import pwd
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
PEERS = HERE / "peers"
# Node's SDK is pinned where it is tried; the files fit here as they are.
NODE_LOCK = HERE.parent / "tests" / "sdk"
AT_ONCE = 32
OURS = "cf-sso-audit"
TOKEN = "cfut_sidebyside0sidebyside0sidebyside0side00000000"
TABLES = ("connectors.csv", "unverified_domains.csv", "disabled_connectors.csv")


def say(text):
    print(f"side-by-side: {text}", file=sys.stderr, flush=True)


def lacking(*programs):
    return [program for program in programs if shutil.which(program) is None]


class LeftOut(Exception):
    """Why a contestant cannot take part."""


def need(*programs):
    if missing := lacking(*programs):
        raise LeftOut(f"missing: {', '.join(missing)}")


def prepare(command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode:
        raise LeftOut(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


# --- The accounts


def connector(account, place, count):
    """One in ten is not verified, one in eight not enabled, every fifth account has the FedRAMP text on."""
    number = account * count + place
    when = datetime.datetime(2025, 3, 1) + datetime.timedelta(minutes=number * 37 % 500_000)
    status = {7: "awaiting", 17: "pending", 27: "failed", 37: "failed"}.get(number % 40, "verified")
    return {
        "id": f"{0xC0_0000_0000 + number:032x}",
        "email_domain": f"team-{place}.company-{account}.example",
        "enabled": number % 8 != 3,
        "use_fedramp_language": account % 5 == 0,
        "created_on": f"{when:%Y-%m-%dT%H:%M:%S}.0000Z",
        "updated_on": f"{when + datetime.timedelta(days=30):%Y-%m-%dT%H:%M:%S}.0000Z",
        "verification": {"code": f"cloudflare_dashboard_sso={number:032x}", "status": status},
    }


def make_accounts(folder, accounts, connectors):
    """Writes each answer where its address is as a path; returns the ids of the accounts, and those in each table."""
    ids, expected = [], {table: set() for table in TABLES}
    for account in range(accounts):
        ids.append(f"{0xA0_0000_0000 + account:032x}")
        found = [connector(account, place, connectors) for place in range(connectors)]
        answer = {
            "success": True,
            "errors": [],
            "messages": [],
            "result": found,
            "result_info": {"count": connectors, "page": 1, "per_page": max(connectors, 20), "total_count": connectors},
        }
        place = folder / "client/v4/accounts" / ids[-1]
        place.mkdir(parents=True)
        (place / "sso_connectors").write_text(json.dumps(answer))
        expected["connectors.csv"].update(it["id"] for it in found)
        expected["unverified_domains.csv"].update(it["id"] for it in found if it["verification"]["status"] != "verified")
        expected["disabled_connectors.csv"].update(it["id"] for it in found if not it["enabled"])
    return ids, expected


def check(name, folder, expected):
    """Ends the program unless each table has exactly the connectors that belong there."""
    for table, ids in expected.items():
        with open(folder / table, encoding="utf-8-sig", newline="") as file:
            listed = [row["connector_id"] for row in csv.DictReader(file)]
        if len(listed) != len(ids) or set(listed) != ids:
            sys.exit(f"side-by-side: {name} is wrong: {len(listed)} connectors in {table}, and not the {len(ids)} expected")


# --- The server

NGINX = """
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    keepalive_requests 10000000;
    open_file_cache max=100000 inactive=1h;
    open_file_cache_valid 1h;
    default_type application/json;
    client_body_temp_path {folder}/tmp1;
    proxy_temp_path {folder}/tmp2;
    fastcgi_temp_path {folder}/tmp3;
    uwsgi_temp_path {folder}/tmp4;
    scgi_temp_path {folder}/tmp5;
    server {{
        listen 127.0.0.1:{port};
        root {folder}/answers;
    }}
}}
"""


@contextlib.contextmanager
def served(folder):
    """nginx, which answers with the files of the folder `answers`; gives the API's address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # The folder is its owner's alone, and root's workers would be nobody's otherwise.
    user = f"user {pwd.getpwuid(0).pw_name};" if os.getuid() == 0 else ""
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, port=port, user=user))
    log = folder / "error.log"
    server = subprocess.Popen(["nginx", "-e", log, "-c", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            if server.poll() is not None:
                sys.exit(f"side-by-side: nginx ended:\n{log.read_text() if log.exists() else ''}")
            time.sleep(0.05)
        else:
            sys.exit("side-by-side: nginx does not answer")
        yield f"http://127.0.0.1:{port}/client/v4"
    finally:
        server.terminate()
        server.wait()


# --- The contestants: each a name, a command, and whether it writes tables


def ours(setting):
    audit = [setting.binary, "audit", "--accounts-file", setting.accounts, "--output", setting.out]
    return OURS, [*audit, "--rate", "1000000/1s", "--baseline", "none", "--progress", "never"], True


def node_sdk(setting):
    need("node", "npm")
    folder = setting.peers / "node"
    package = folder / "node_modules/cloudflare/package.json"
    if not package.exists():
        say(f"installing Cloudflare's Node SDK into {folder}")
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(NODE_LOCK / name, folder)
        prepare(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder)
    # Node looks for packages beside the program.
    program = shutil.copy(PEERS / "node-sdk.mjs", folder)
    version = json.loads(package.read_text())["version"]
    return f"Node SDK {version}", ["node", program, setting.accounts, setting.out, str(AT_ONCE)], True


def python_sdk(setting):
    folder = setting.peers / "venv"
    python = folder / "bin/python"
    ask_version = [python, "-c", "import cloudflare; print(cloudflare.__version__)"]
    try:
        version = prepare(ask_version)
    except (OSError, LeftOut):
        if importlib.util.find_spec("ensurepip") is None:
            raise LeftOut("missing: python3-venv") from None
        say(f"installing Cloudflare's Python SDK into {folder}")
        prepare([sys.executable, "-m", "venv", folder])
        prepare([python, "-m", "pip", "install", "--disable-pip-version-check", "-r", PEERS / "requirements.txt"])
        version = prepare(ask_version)
    program = PEERS / "python-sdk.py"
    return f"Python SDK {version}", [python, program, setting.accounts, setting.out, str(AT_ONCE)], True


def curl_and_jq(setting):
    need("curl", "jq")
    return "curl --parallel, jq", [PEERS / "curl-jq.sh", setting.accounts, setting.out, str(AT_ONCE)], True


def h2load(setting):
    need("h2load")
    # It wants no more clients than requests.
    command = ["h2load", "--h1", f"--requests={setting.count}", f"--clients={min(AT_ONCE, setting.count)}"]
    return "h2load: only fetches", [*command, f"--input-file={setting.addresses}"], False


CONTESTANTS = {
    OURS: ours,
    "Cloudflare's Node SDK": node_sdk,
    "Cloudflare's Python SDK": python_sdk,
    "curl and jq": curl_and_jq,
    "h2load": h2load,
}


def those_that_can(setting):
    for name, contestant in CONTESTANTS.items():
        try:
            yield contestant(setting)
        except LeftOut as reason:
            say(f"LEFT OUT: {name}: {reason}")


def timed(command, environment, note):
    """Runs a command: seconds on the wall, seconds of processor, megabytes at the most, and what it said."""
    # What the system says of a child's memory begins with its parent's: so the parent is GNU time, which is small.
    start = time.perf_counter()
    done = subprocess.run(
        [shutil.which("time"), "--quiet", "--format=%U %S %M", f"--output={note}", *command],
        env=environment,
        capture_output=True,
        text=True,
    )
    wall = time.perf_counter() - start
    if done.returncode:
        sys.exit(f"side-by-side: {command[0]} ended with {done.returncode}:\n{done.stdout[-500:]}{done.stderr[-2000:]}")
    user, system, kilobytes = note.read_text().split()
    return (wall, float(user) + float(system), int(kilobytes) / 1024), done.stdout


# --- The table


def print_table(figures, options):
    rounds = "1 round" if options.rounds == 1 else f"{options.rounds} rounds"
    machine = f"{os.cpu_count()} processors, {platform.machine()}"
    print(f"{options.accounts:,} accounts of {options.connectors} connectors; medians of {rounds}; {machine}.\n")
    print("| | wall, s | CPU, s | peak, MB | wall, times ours |")
    print("|---|---:|---:|---:|---:|")
    medians = {name: [statistics.median(column) for column in zip(*runs)] for name, runs in figures.items()}
    for name, (wall, processor, memory) in medians.items():
        print(f"| {name} | {wall:.2f} | {processor:.2f} | {memory:.0f} | {wall / medians[OURS][0]:.2f} |")


def run_rounds(rounds, contestants, setting, expected, environment):
    """Runs every contestant once in each round, in turn; gives the figures of each."""
    figures = {name: [] for name, _, _ in contestants}
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}; the machine's load is {os.getloadavg()[0]:.1f}")
        for name, command, writes_tables in contestants:
            setting.out.mkdir()
            figure, said = timed(command, environment, setting.note)
            figures[name].append(figure)
            if writes_tables:
                check(name, setting.out / "latest" if name == OURS else setting.out, expected)
            elif f" {setting.count} succeeded" not in said:
                sys.exit(f"side-by-side: {name} did not fetch every answer:\n{said}")
            shutil.rmtree(setting.out)
    return figures


def arguments():
    def positive(text):
        if (number := int(text)) < 1:
            raise ValueError
        return number

    parser = argparse.ArgumentParser(description="Times whole audits side by side with other ways to list connectors.")
    parser.add_argument("binary", type=pathlib.Path, help="the program, built with --release")
    parser.add_argument("accounts", nargs="?", type=positive, default=2000)
    parser.add_argument("connectors", nargs="?", type=positive, default=20, help="of each account")
    parser.add_argument("rounds", nargs="?", type=positive, default=3)
    parser.add_argument("--peers", type=pathlib.Path, metavar="DIR", help="keep the SDKs here, and use those that are here")
    return parser.parse_args()


def main():
    options = arguments()
    binary = options.binary.resolve()
    if not os.access(binary, os.X_OK):
        sys.exit(f"side-by-side: {binary} is no program; build it with: cargo build --release")
    if missing := lacking("nginx", "time"):
        sys.exit(f"side-by-side: missing: {', '.join(missing)}; nothing can be timed without (Debian: nginx-light, time)")
    with tempfile.TemporaryDirectory(prefix="side-by-side-") as folder:
        folder = pathlib.Path(folder)
        ids, expected = make_accounts(folder / "answers", options.accounts, options.connectors)
        setting = argparse.Namespace(
            binary=binary,
            peers=(options.peers or folder / "peers").resolve(),
            accounts=folder / "accounts.txt",
            addresses=folder / "addresses.txt",
            count=options.accounts,
            out=folder / "out",
            note=folder / "time.txt",
        )
        contestants = list(those_that_can(setting))
        with served(folder) as base_url:
            setting.accounts.write_text("".join(f"{it}\n" for it in ids))
            setting.addresses.write_text("".join(f"{base_url}/accounts/{it}/sso_connectors\n" for it in ids))
            proxies = ("http_proxy", "https_proxy", "all_proxy")
            environment = {name: value for name, value in os.environ.items() if name.lower() not in proxies}
            environment |= {"CLOUDFLARE_BASE_URL": base_url, "CLOUDFLARE_API_TOKEN": TOKEN}
            figures = run_rounds(options.rounds, contestants, setting, expected, environment)
    print_table(figures, options)


main()
