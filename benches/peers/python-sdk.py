"""Lists connectors as one would with Cloudflare's Python SDK: see ../side-by-side.py.

    python python-sdk.py ACCOUNTS_FILE OUT_DIR AT_ONCE
"""

import asyncio
import csv
import pathlib
import sys
from contextlib import ExitStack

from cloudflare import AsyncCloudflare

COLUMNS = ("account_id", "connector_id", "email_domain", "enabled", "status", "use_fedramp_language", "created_on", "updated_on")


async def work(client, accounts, connectors, unverified, disabled):
    # All workers take from the same iterator.
    for account in accounts:
        async for it in client.iam.sso.list(account_id=account):
            status = it.verification.status if it.verification else None
            row = (account, it.id, it.email_domain, it.enabled, status, it.use_fedramp_language, it.created_on, it.updated_on)
            connectors.writerow(row)
            if status != "verified":
                unverified.writerow(row)
            if not it.enabled:
                disabled.writerow(row)


async def main(accounts_file, out, at_once):
    with ExitStack() as files:

        def table(name):
            writer = csv.writer(files.enter_context(open(pathlib.Path(out) / name, "w", newline="")))
            writer.writerow(COLUMNS)
            return writer

        tables = [table(name) for name in ("connectors.csv", "unverified_domains.csv", "disabled_connectors.csv")]
        accounts = iter(pathlib.Path(accounts_file).read_text().split())
        async with AsyncCloudflare() as client:
            await asyncio.gather(*(work(client, accounts, *tables) for _ in range(int(at_once))))


asyncio.run(main(*sys.argv[1:]))
