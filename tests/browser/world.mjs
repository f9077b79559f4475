// Serves an API of made-up accounts on loopback, for pages that the simulator's well-meant worlds cannot make.
//   node world.mjs hostile    names that are markup, formulas, direction marks and 10,000 letters; some accounts cannot be read
//   node world.mjs large      2,000 accounts of 100 connectors
// Prints the two exports that the program needs, and serves until it is stopped.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";

const TOKEN = `cfut_${"b".repeat(40)}00000000`;
const id = (text) => createHash("sha256").update(text).digest("hex").slice(0, 32);

/** A connector in the documented shape. */
function connector(domain, fields = {}) {
  const { status = "verified", code = `cloudflare_dashboard_sso=${id(`code ${domain}`)}`, ...rest } = fields;
  return {
    id: id(`connector ${domain}`),
    email_domain: domain,
    enabled: status === "verified",
    use_fedramp_language: false,
    verification: { code, status },
    created_on: "2026-01-02T03:04:05.0000Z",
    updated_on: "2026-11-01T12:21:02.0000Z",
    ...rest,
  };
}

const list = (connectors, total = connectors.length) => ({
  status: 200,
  body: {
    success: true, errors: [], messages: [], result: connectors,
    result_info: { page: 1, per_page: 20, count: connectors.length, total_count: total },
  },
});
const failure = (status, code, message) => ({ status, body: { success: false, errors: [{ code, message }], messages: [], result: null } });

/** Text that would do harm where it is not taken for text. */
const HOSTILE = [
  '<img src=x onerror="window.pwned=1">',
  "</script><script>window.pwned=1</script>",
  "</style></title></textarea><svg onload=window.pwned=1>",
  '" onmouseover="window.pwned=1" x="',
  "' onmouseover='window.pwned=1' x='",
  "javascript:window.pwned=1",
  "--><!-- {{raw}} {{{html}}} ${window.pwned=1} &lt;b&gt;",
  '=HYPERLINK("http://evil.example","x")',
  "+1+cmd|' /C calc'!A0",
  "@SUM(1)",
  "tab\there\r\nand a line, \u2028 and another",
  "turned \u202emoc.elpmaxe\u202c back \u2066isolated\u2069 \u200f",
  "nothing \u0000\u0007\u001b[31m to see\u007f",
  "\u05de\u05e9\u05e8\u05d3 \u0645\u0643\u062a\u0628",
  "e\u0301\u0323\u0300\u0302".repeat(30),
  "\u{1f468}\u200d\u{1f469}\u200d\u{1f467}\ufeff",
  // The eightieth and the hundred and sixtieth of what people see is a family.
  `${"f".repeat(79)}\u{1f468}\u200d\u{1f469}\u200d\u{1f467}${"g".repeat(79)}\u{1f468}\u200d\u{1f469}\u200d\u{1f467}${"h".repeat(100)}`,
  "00000000000000000000000000000042",
  "A".repeat(10_000),
  "w ".repeat(5_000),
];

function hostile() {
  const accounts = HOSTILE.map((text, index) => ({
    id: id(`hostile ${index}`),
    name: text,
    answer: list([
      connector(text, { status: "pending", code: text }),
      connector(`unknown-${index}.example`, { status: text, enabled: text, created_on: text }),
      connector(`off-${index}.example`, { enabled: false, id: text, use_fedramp_language: index % 2 === 0 }),
      connector(`fine-${index}.example`),
    ]),
  }));
  // Names that a spreadsheet would take for something else, and some that it would not.
  const { guarded, plain } = JSON.parse(readFileSync(new URL("../spreadsheet-cases.json", import.meta.url), "utf8"));
  const names = [...guarded.map(([text]) => text), ...plain];
  accounts.push(...names.map((name, index) => ({ id: id(`spreadsheet ${index}`), name, answer: list([connector(`case-${index}.example`, { enabled: false })]) })));
  const [markup, script] = HOSTILE;
  accounts.push(
    { id: markup, name: "An id that is none", answer: list([]) },
    { id: id("refused"), name: script, answer: failure(403, 9109, `Unauthorized to access requested resource ${markup}`) },
    { id: id("failed"), name: "Html", answer: { status: 400, body: `<html>${script}</html>` } },
    { id: id("short"), name: "Cut off", answer: list([connector("cut-off.example")], 40) },
    { id: id("none"), name: "No connector", answer: list([]) },
  );
  return accounts;
}

function large() {
  // Of every 20 connectors one is unverified and one disabled; every third account shows the FedRAMP text.
  const of = (account) => Array.from({ length: 100 }, (_, n) => connector(`mail-${n}.customer-${account}.example`, {
    ...(n % 20 === 7 ? { status: ["pending", "awaiting", "failed"][account % 3] } : {}),
    ...(n % 20 === 13 ? { enabled: false } : {}),
    use_fedramp_language: account % 3 === 0,
  }));
  return Array.from({ length: 2_000 }, (_, account) => ({
    id: id(`large ${account}`),
    name: `Customer ${account}`,
    get answer() { return list(of(account)); },
  }));
}

const WORLDS = { hostile, large };
const world = WORLDS[process.argv[2]]?.();
if (!world) {
  console.error(`usage: node world.mjs ${Object.keys(WORLDS).join("|")}`);
  process.exit(2);
}
const byId = new Map(world.map((account) => [account.id, account]));

function answerTo(request) {
  const url = new URL(request.url, "http://loopback");
  if (request.headers.authorization !== `Bearer ${TOKEN}`) return failure(403, 10000, "Authentication error");
  if (request.method !== "GET") return failure(405, 10405, "Method not allowed");
  if (url.pathname === "/client/v4/accounts") {
    const [page, size] = ["page", "per_page"].map((name) => Number(url.searchParams.get(name)));
    const accounts = world.slice((page - 1) * size, page * size).map(({ id, name }) => ({ id, name, type: "standard" }));
    return { status: 200, body: { success: true, errors: [], messages: [], result: accounts, result_info: { page, per_page: size, count: accounts.length, total_count: world.length } } };
  }
  const account = byId.get(url.pathname.match(/^\/client\/v4\/accounts\/([^/]+)\/sso_connectors$/)?.[1]);
  return account?.answer ?? failure(404, 7003, `Could not route to ${url.pathname}, perhaps your object identifier is invalid?`);
}

const server = createServer((request, response) => {
  const { status, body } = answerTo(request);
  const text = typeof body === "string" ? body : JSON.stringify(body);
  response.writeHead(status, {
    "content-type": typeof body === "string" ? "text/html" : "application/json",
    "cf-ray": `${id(request.url).slice(0, 16)}-SYD`,
  });
  response.end(text);
});
server.listen(0, "127.0.0.1", () => {
  console.log(`export CLOUDFLARE_BASE_URL=http://127.0.0.1:${server.address().port}/client/v4`);
  console.log(`export CLOUDFLARE_API_TOKEN=${TOKEN}`);
});
