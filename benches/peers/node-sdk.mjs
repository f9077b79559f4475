// Lists connectors as one would with Cloudflare's Node SDK: see ../side-by-side.py.
//   node node-sdk.mjs ACCOUNTS_FILE OUT_DIR AT_ONCE
import { createWriteStream, readFileSync } from 'node:fs';
import { once } from 'node:events';
import Cloudflare from 'cloudflare';

const [accountsFile, out, atOnce] = process.argv.slice(2);
const client = new Cloudflare();
const COLUMNS = ['account_id', 'connector_id', 'email_domain', 'enabled', 'status', 'use_fedramp_language', 'created_on', 'updated_on'];

const cell = (value) => {
  const text = String(value ?? '');
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};
const line = (cells) => `${cells.map(cell).join(',')}\n`;
const table = (name) => {
  const file = createWriteStream(`${out}/${name}`);
  file.write(line(COLUMNS));
  return file;
};
const connectors = table('connectors.csv');
const unverified = table('unverified_domains.csv');
const disabled = table('disabled_connectors.csv');

// All workers take from the same iterator.
const accounts = readFileSync(accountsFile, 'utf8').trim().split('\n').values();
async function work() {
  for (const account_id of accounts) {
    for await (const it of client.iam.sso.list({ account_id })) {
      const status = it.verification?.status;
      const row = line([account_id, it.id, it.email_domain, it.enabled, status, it.use_fedramp_language, it.created_on, it.updated_on]);
      connectors.write(row);
      if (status !== 'verified') unverified.write(row);
      if (!it.enabled) disabled.write(row);
    }
  }
}
await Promise.all(Array.from({ length: Number(atOnce) }, work));
await Promise.all([connectors, unverified, disabled].map((file) => once(file.end(), 'finish')));
