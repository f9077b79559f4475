// Cloudflare's Node SDK on a simulated API: see try_sdks.sh. This SDK validates nothing, so each field is checked here.
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import Cloudflare from 'cloudflare';

const client = new Cloudflare({ maxRetries: 0 });
const sso = client.iam.sso;
let problems = 0;

function check(what, holds) {
  if (!holds) problems += 1;
  console.log(`node: ${holds ? 'ok    ' : 'FAILED'} ${what}`);
}

async function refused(what, status, code, call) {
  const error = await call().then(() => undefined, (error) => error);
  const found = error?.errors?.map((item) => item.code);
  check(`${what}: ${error?.status} ${found}`, error?.status === status && found?.length === 1 && found[0] === code);
}

async function all(pages) {
  const items = [];
  for await (const item of pages) items.push(item);
  return items;
}

async function settled(account_id, connector) {
  let found;
  for (let i = 0; i < 600; i += 1) {
    found = await sso.get(connector, { account_id });
    if (found.verification.status !== 'pending') break;
    await sleep(100);
  }
  return found;
}

const ID = /^[0-9a-f]{32}$/;
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{4}Z$/;
const CODE = /^cloudflare_dashboard_sso=[0-9a-f]{32}$/;
const STATUSES = ['awaiting', 'pending', 'failed', 'verified'];

function checkConnector(what, it) {
  const keys = 'created_on email_domain enabled id updated_on use_fedramp_language verification';
  check(`${what} has the documented fields`,
    Object.keys(it).sort().join(' ') === keys && ID.test(it.id) && typeof it.email_domain === 'string'
    && typeof it.enabled === 'boolean' && typeof it.use_fedramp_language === 'boolean'
    && TIME.test(it.created_on) && TIME.test(it.updated_on)
    && Object.keys(it.verification).sort().join(' ') === 'code status'
    && CODE.test(it.verification.code) && STATUSES.includes(it.verification.status));
}

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

const token = await client.user.tokens.verify();
check('user.tokens.verify', token.status === 'active' && ID.test(token.id));

const accounts = await all(client.accounts.list({ per_page: 5 }));
check('accounts.list, all pages', accounts.length > 5 && new Set(accounts.map((it) => it.id)).size === accounts.length);
check('accounts.get', same(await client.accounts.get({ account_id: accounts.at(-1).id }), accounts.at(-1)));

// Records that are not as documented are for the audit to find.
const account_id = accounts.find((it) => !it.name.includes('Legacy')).id;
const before = await all(sso.list({ account_id }));
const email_domain = `${randomUUID()}.example`;
const made = await sso.create({ account_id, email_domain, begin_verification: false });
checkConnector('iam.sso.create', made);
check('not enabled, awaiting', made.enabled === false && made.verification.status === 'awaiting' && made.email_domain === email_domain);
check('iam.sso.get', same(await sso.get(made.id, { account_id }), made));
const listed = await all(sso.list({ account_id }));
check('iam.sso.list', same(listed, [...before, made]));
for (const it of listed) checkConnector('a listed connector', it);
await refused('a duplicate', 400, 12002, () => sso.create({ account_id, email_domain }));
await refused('enabled too soon', 400, 12003, () => sso.update(made.id, { account_id, enabled: true }));

const begun = await sso.beginVerification(made.id, { account_id });
check('iam.sso.beginVerification', same(begun, { success: true, errors: [], messages: [] }));
const verified = await settled(account_id, made.id);
check('verified', verified.verification.status === 'verified' && verified.updated_on > made.updated_on);
const enabled = await sso.update(made.id, { account_id, enabled: true, use_fedramp_language: true });
checkConnector('iam.sso.update', enabled);
check('enabled', enabled.enabled === true && enabled.use_fedramp_language === true && enabled.created_on === made.created_on);

const never = await sso.create({ account_id, email_domain: `fail-${email_domain}` });
check('pending', never.verification.status === 'pending');
check('failed', (await settled(account_id, never.id)).verification.status === 'failed');

for (const { id } of [made, never]) {
  check('iam.sso.delete', same(await sso.delete(id, { account_id }), { id }));
}
await refused('a deleted one', 404, 7003, () => sso.get(made.id, { account_id }));
check('all as before', same(await all(sso.list({ account_id })), before));

const stranger = new Cloudflare({ apiToken: 'cfut_nobody', maxRetries: 0 });
await refused('a stranger', 403, 10000, () => stranger.iam.sso.list({ account_id }));
await refused("a stranger's token", 401, 1000, () => stranger.user.tokens.verify());
process.exit(problems ? 1 : 0);
