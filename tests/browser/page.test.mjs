// The report's page in a real browser. Started by run.sh, which says what the environment must hold.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import axe from "axe-core";
import { chromium } from "playwright-core";

const path = (name) => resolve(process.env[name] ?? assert.fail(`${name} is not set`));
const DEMO = path("REPORT_DEMO");
const HOSTILE = path("REPORT_HOSTILE");
const LARGE = path("REPORT_LARGE");
const SHOTS = process.env.SCREENSHOTS ? resolve(process.env.SCREENSHOTS) : null;
const scratch = mkdtempSync(join(tmpdir(), "report-page-"));
if (SHOTS) mkdirSync(SHOTS, { recursive: true });

let browser;
before(async () => {
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
});
after(async () => {
  await browser?.close();
  rmSync(scratch, { recursive: true, force: true });
});

/** Opens a page and fails on what a reader's browser would complain about, or fetch. */
async function open(t, file, { hash = "", allowErrors = false, ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  t.after(() => context.close());
  const page = await context.newPage();
  const url = pathToFileURL(file).href;
  const requests = [];
  const complaints = [];
  page.on("request", (request) => {
    const asked = request.url();
    if (asked.split("#")[0] !== url && asked !== "data:,") requests.push(asked);
  });
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => { if (message.type() === "error" || message.type() === "warning") complaints.push(message.text()); });
  t.after(() => {
    assert.deepEqual(requests, [], "requests that left the page");
    if (!allowErrors) assert.deepEqual(complaints, [], "complaints of the browser");
  });
  await page.goto(url + hash);
  return page;
}

/** The clipboard of the page, which a test can read. */
const CLIPBOARD = { permissions: ["clipboard-read", "clipboard-write"] };
const clipboard = (page) => page.evaluate(() => navigator.clipboard.readText());

const visibleRows = (page, table) => page.locator(`#${table} > tbody > tr:visible`);
const said = (page, pattern) => page.waitForFunction((source) => new RegExp(source).test(document.querySelector("#live").textContent), pattern.source);
const column = (page, table, n) => page.locator(`#${table} > tbody > tr:visible > :nth-child(${n})`).allInnerTexts();
const overflow = (page) => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

async function violations(page) {
  await page.evaluate(axe.source);
  const { violations: found } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  return found.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map((n) => `${n.html.slice(0, 160)} (${n.failureSummary})`).join(" | ")}`);
}

describe("accessibility", () => {
  for (const colorScheme of ["light", "dark"]) {
    for (const [name, file] of [["demo", DEMO], ["hostile", HOSTILE]]) {
      test(`axe finds nothing: ${name}, ${colorScheme}`, async (t) => {
        const page = await open(t, file, { colorScheme });
        await page.click("#more-filters");
        await page.locator("#findings-t .tog").first().click();
        assert.deepEqual(await violations(page), []);
      });
    }
  }

  test("axe finds nothing on a small screen, nor without the script", async (t) => {
    const small = await open(t, DEMO, { viewport: { width: 360, height: 800 } });
    assert.deepEqual(await violations(small), []);
    // axe itself is a script: look at what the page is before its own has run.
    const html = readFileSync(DEMO, "utf8").replace(/<script>[^]*?<\/script>/, "").replace(/<meta http-equiv="Content-Security-Policy"[^>]*>/, "");
    const bare = join(scratch, "bare.html");
    writeFileSync(bare, html);
    assert.deepEqual(await violations(await open(t, bare)), []);
  });

  test("the skip link, headings and captions are there", async (t) => {
    const page = await open(t, DEMO);
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.className), "skip");
    await page.keyboard.press("Enter");
    assert.equal(await page.evaluate(() => document.activeElement.id), "report");
    assert.equal(await page.locator("h1").count(), 1);
    const bare = await page.evaluate(() => [...document.querySelectorAll("table")].filter((table) =>
      !table.caption || [...table.querySelectorAll("th")].some((th) => !th.scope)).length);
    assert.equal(bare, 0, "tables without caption or scopes");
  });

  test("every picture says its numbers in a title", async (t) => {
    const page = await open(t, DEMO);
    const titles = await page.evaluate(() => [...document.querySelectorAll("svg[role=img]")].map((svg) =>
      document.getElementById(svg.getAttribute("aria-labelledby"))?.textContent ?? ""));
    assert.ok(titles.length >= 8, `${titles.length} pictures`);
    for (const title of titles) assert.match(title, /\d/);
  });

  test("focus is seen, in every scheme", async (t) => {
    for (const options of [{ colorScheme: "light" }, { colorScheme: "dark" }, { forcedColors: "active" }]) {
      const page = await open(t, DEMO, options);
      for (const selector of ["#theme", "#filter [name=q]", "#findings-t thead button", "#findings-t .tog", ".contents a"]) {
        // Arriving by key is what makes the ring show.
        await page.locator(selector).first().focus();
        await page.keyboard.press("Shift");
        const ring = await page.locator(selector).first().evaluate((e) => getComputedStyle(e).outlineStyle + getComputedStyle(e).outlineWidth);
        assert.equal(ring, "solid3px", `${selector} with ${JSON.stringify(options)}`);
      }
    }
  });
});

describe("reading", () => {
  test("the sections stand in the order of the report", async (t) => {
    const page = await open(t, DEMO);
    assert.deepEqual(await page.locator("main > section").evaluateAll((all) => all.map((s) => s.id)), [
      "verdict", "changes", "numbers", "unverified", "dns", "disabled", "fedramp", "matrix", "findings", "connectors", "accounts", "waivers", "promises", "unread", "passed", "controls", "rules", "made",
    ]);
    const links = await page.locator(".contents a").evaluateAll((all) => all.map((a) => a.hash.slice(1)));
    assert.deepEqual(links, await page.locator("main > section").evaluateAll((all) => all.map((s) => s.id)));
  });

  test("without the script everything is there to read", async (t) => {
    const page = await open(t, DEMO, { javaScriptEnabled: false });
    for (const table of ["unverified-t", "disabled-t", "fedramp-t", "matrix-t", "findings-t", "connectors-t", "accounts-t"]) {
      const rows = page.locator(`#${table} > tbody > tr`);
      const total = await rows.count();
      assert.ok(total > 0, table);
      assert.equal(await visibleRows(page, table).count(), total, table);
    }
    const details = page.locator("#findings-t dl");
    assert.equal(await page.locator("#findings-t dl:visible").count(), await details.count());
    assert.equal(await page.locator("#filter:visible, #theme:visible, button:visible").count(), 0, "controls that could not work");
    if (SHOTS) await page.screenshot({ path: join(SHOTS, "no-script.png") });
  });

  for (const width of [360, 800, 1600]) {
    for (const [name, file] of [["demo", DEMO], ["hostile", HOSTILE]]) {
      test(`${name} fits ${width} pixels, with and without the script`, async (t) => {
        for (const javaScriptEnabled of [true, false]) {
          const page = await open(t, file, { viewport: { width, height: 900 }, javaScriptEnabled });
          // evaluate works without the page's scripts too.
          assert.ok((await overflow(page)) <= 0, `overflows by ${await overflow(page)}`);
        }
      });
    }
  }

  test("numbers are right-aligned, ids monospaced, times have their zone", async (t) => {
    const page = await open(t, DEMO);
    assert.equal(await page.locator("#accounts-t tbody td.n").first().evaluate((e) => getComputedStyle(e).textAlign), "right");
    assert.match(await page.locator("#accounts-t tbody a bdi").first().evaluate((e) => getComputedStyle(e).fontFamily), /mono/i);
    assert.match(await page.locator(".masthead").innerText(), /\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC/);
    for (const head of await page.locator("th[data-t*=_utc]").allInnerTexts()) assert.match(head, /\(UTC\)/);
  });

  test("motion is reduced for those who ask", async (t) => {
    const page = await open(t, DEMO, { reducedMotion: "reduce" });
    assert.equal(await page.evaluate(() => getComputedStyle(document.documentElement).scrollBehavior), "auto");
  });

  test("light or dark is the reader's choice", async (t) => {
    const page = await open(t, DEMO, { colorScheme: "light" });
    const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = await ground();
    await page.emulateMedia({ colorScheme: "dark" });
    const dark = await ground();
    assert.notEqual(light, dark);
    assert.equal(await page.locator("#theme").innerText(), "Light");
    await page.click("#theme");
    assert.equal(await ground(), light);
    await page.emulateMedia({ colorScheme: "light" });
    await page.click("#theme");
    assert.equal(await ground(), dark);
  });
});

describe("use", () => {
  test("search narrows every table and says so", async (t) => {
    const page = await open(t, DEMO);
    const total = await page.locator("#connectors-t > tbody > tr").count();
    const domain = (await page.locator("#connectors-t > tbody > tr:last-child bdi").first().textContent()).trim();
    await page.keyboard.press("/");
    await page.keyboard.type(domain);
    await said(page, /match in/);
    const shown = await visibleRows(page, "connectors-t").count();
    assert.ok(shown >= 1 && shown < total, `${shown} of ${total}`);
    for (const text of await visibleRows(page, "connectors-t").allTextContents()) assert.ok(text.includes(domain));
    assert.match(await page.locator("#connectors .tools").innerText(), new RegExp(`^${shown} of `));
    assert.match(await page.locator("#matches").innerText(), /rows? match in \d+ tables?/);
    await page.keyboard.press("Escape");
    await said(page, /No filter/);
    assert.equal(await page.locator("#connectors-t > tbody > tr[hidden]").count(), 0);
  });

  test("filters: severity, rule, status, waived, new, account", async (t) => {
    const page = await open(t, DEMO);
    await page.click("#more-filters");
    const rows = page.locator("#findings-t > tbody > tr:not([hidden])");
    const total = await rows.count();
    const clear = async () => { await page.click("#filter [type=reset]"); await said(page, /No filter/); assert.equal(await rows.count(), total); };
    const texts = async (n) => (await rows.locator(`> :nth-child(${n})`).allTextContents()).map((text) => text.trim());

    await page.check("[name=severity][value=high]");
    await page.check("[name=severity][value=critical]");
    // What is said at first may still be about one of them.
    await page.waitForFunction(() => /severity=[a-z]+(,|%2C)[a-z]+/.test(location.hash));
    await said(page, /match in/);
    assert.deepEqual(new Set(await texts(1)), new Set(["critical", "high"]));
    await clear();

    await page.selectOption("[name=rule]", "disabled-connector");
    await said(page, /match in/);
    assert.deepEqual(new Set(await texts(5)), new Set(["disabled-connector"]));
    await clear();

    await page.selectOption("[name=status]", "pending");
    await said(page, /match in/);
    const statuses = await page.locator("#unverified-t > tbody > tr:not([hidden]) > :nth-child(4) i").allTextContents();
    assert.deepEqual(new Set(statuses), new Set(["pending"]));
    assert.match(await page.locator("#accounts .tools").innerText(), /no status to filter by/);
    await clear();

    for (const [value, state] of [["yes", "waived"], ["no", "open"]]) {
      await page.selectOption("[name=waived]", value);
      await said(page, /match in/);
      const states = new Set(await texts(6));
      assert.ok(states.size <= 1 && (states.size === 0 || states.has(state)), [...states].join());
      await clear();
    }

    await page.check("[name=new]");
    await said(page, /match in/);
    for (const change of await texts(7)) assert.equal(change, "new");
    await clear();

    const id = await page.locator("#findings-t > tbody > tr:first-child > :nth-child(4) bdi").nth(1).textContent();
    await page.fill("[name=account]", id);
    await said(page, /match in/);
    assert.ok((await rows.count()) >= 1);
    for (const text of await texts(4)) assert.ok(text.includes(id));
    assert.ok((await page.locator("#account-list option").count()) > 1, "accounts offered");
    await clear();
  });

  test("what a filter cannot tell is said, and only tables that match are counted", async (t) => {
    const page = await open(t, DEMO);
    await page.click("#more-filters");
    await page.check("[name=new]");
    await said(page, /match in/);
    const text = await page.locator("#matches").innerText();
    assert.match(text, /New only does not filter .*Unverified domains.*Accounts/);
    await page.click("#filter [type=reset]");
    await said(page, /No filter/);
    await page.fill("[name=q]", "nothing-has-this-text");
    await said(page, /^0 rows match in 0 tables/);
    assert.equal(await page.locator("#unverified .none").innerText(), "No rows in this table match.");
    assert.equal(await page.locator("#unverified-t").isVisible(), false);
    await page.keyboard.press("Escape");
    await said(page, /No filter/);
    assert.equal(await page.locator("#unverified-t").isVisible(), true);
  });

  test("an owner's rows are found in every table", async (t) => {
    const page = await open(t, DEMO);
    await page.click("#more-filters");
    await page.fill("[name=owner]", "gov-platform");
    await said(page, /match in/);
    for (const table of ["findings-t", "connectors-t", "accounts-t"]) {
      const rows = await visibleRows(page, table).allTextContents();
      assert.ok(rows.length > 0, table);
      for (const text of rows) assert.match(text, /Calder Agency Services/, table);
    }
    assert.match(new URL(page.url()).hash, /owner=gov-platform/);
    assert.ok((await page.locator("#owner-list option").count()) > 0);
  });

  test("the search is within three Tabs", async (t) => {
    const page = await open(t, DEMO);
    for (let i = 0; i < 3; i += 1) {
      await page.keyboard.press("Tab");
      if (await page.evaluate(() => document.activeElement.name === "q")) return;
    }
    assert.fail("not reached");
  });

  test("at 1,400 pixels a row is a line, no table scrolls, and the rest is in titles", async (t) => {
    const page = await open(t, DEMO, { viewport: { width: 1400, height: 900 } });
    const tables = await page.evaluate(() => [...document.querySelectorAll("table[data-file]")].map((table) => [
      table.id, table.parentElement.scrollWidth - table.parentElement.clientWidth,
      Math.max(...[...table.tBodies[0].rows].filter((row) => row.offsetHeight).map((row) => row.offsetHeight)),
    ]));
    for (const [id, over, height] of tables) assert.ok(over <= 1 && height < 34, `${id}: ${over} too wide, a row of ${height}`);
    const nav = await page.locator(".contents").boundingBox();
    assert.ok(nav.y + nav.height <= 900, "the navigation fits");
    const id = page.locator("#connectors-t > tbody > tr:first-child > th > a bdi");
    await id.hover();
    assert.equal(await id.getAttribute("title"), await id.textContent());
    const time = page.locator("#connectors-t > tbody > tr:first-child > td.w > bdi").first();
    assert.match(await time.innerText(), /^\d{4}-\d\d-\d\d$/);
    await time.hover();
    assert.match(await time.getAttribute("title"), /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/);
    await page.click("#rows");
    assert.equal(await page.locator("#rows").innerText(), "Compact rows");
    assert.ok((await page.locator("#connectors-t > tbody > tr:first-child").boundingBox()).height > 40);
  });

  test("an id is copied whole, by key too", async (t) => {
    const page = await open(t, DEMO, CLIPBOARD);
    const link = page.locator("#connectors-t > tbody > tr:first-child > th > a");
    await link.focus();
    await page.keyboard.press("Tab");
    assert.match(await page.evaluate(() => document.activeElement.getAttribute("aria-label")), /^Copy the id /);
    await page.keyboard.press("Enter");
    await said(page, /Id copied/);
    assert.equal(await clipboard(page), await link.locator("bdi").textContent());
  });

  test("a domain breaks before its dots and nowhere else", async (t) => {
    const page = await open(t, DEMO, { viewport: { width: 700, height: 900 } });
    const broken = await page.evaluate(() => [...document.querySelectorAll("bdi.d")].filter((domain) => {
      const range = document.createRange();
      return [...domain.childNodes].some((label) => {
        if (label.nodeType !== Node.TEXT_NODE || !label.data) return false;
        range.selectNodeContents(label);
        return new Set([...range.getClientRects()].map((box) => Math.round(box.top))).size > 1;
      });
    }).map((domain) => domain.textContent));
    assert.deepEqual(broken, []);
  });

  test("columns sort both ways and back, by severity, number and text", async (t) => {
    const page = await open(t, DEMO);
    const sorted = async (table, n, states, key, first) => {
      const head = page.locator(`#${table} > thead th:nth-child(${n})`);
      const cells = () => page.locator(`#${table} > tbody > tr > :nth-child(${n})`).allTextContents();
      const before = await cells();
      assert.equal(await head.getAttribute("aria-sort"), "none");
      for (const state of states) {
        await head.locator("button").click();
        assert.equal(await head.getAttribute("aria-sort"), state);
        if (state === "none") { assert.deepEqual(await cells(), before); continue; }
        const keys = (await cells()).map(key);
        const wanted = [...keys].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
        assert.deepEqual(keys, state === "ascending" ? wanted : wanted.reverse(), `${table} ${n} ${state}`);
      }
      assert.equal(first, states[0]);
    };
    const rank = { critical: 4, high: 3, medium: 2, low: 1 };
    await sorted("findings-t", 1, ["descending", "ascending", "none"], (text) => rank[text.trim()], "descending");
    await sorted("accounts-t", 4, ["descending", "ascending", "none"], Number, "descending");
    await sorted("findings-t", 5, ["ascending", "descending", "none"], (text) => text.trim(), "ascending");
    await said(page, /Original order/);
  });

  test("sorting and details work by key alone", async (t) => {
    const page = await open(t, DEMO);
    await page.locator("#findings-t thead button").first().focus();
    await page.keyboard.press("Enter");
    assert.equal(await page.locator("#findings-t thead th").first().getAttribute("aria-sort"), "descending");
    await said(page, /Sorted by Severity, descending/);
    const toggle = page.locator("#findings-t .tog").first();
    const details = page.locator("#findings-t dl").first();
    assert.equal(await details.isVisible(), false);
    await toggle.focus();
    await page.keyboard.press("Space");
    assert.equal(await toggle.getAttribute("aria-expanded"), "true");
    assert.equal(await details.isVisible(), true);
    assert.match(await details.innerText(), /Remediation/);
    await page.keyboard.press("Enter");
    assert.equal(await details.isVisible(), false);
  });

  test("all details open at once", async (t) => {
    const page = await open(t, DEMO);
    await page.getByRole("button", { name: "Open all details" }).click();
    assert.equal(await page.locator("#findings-t > tbody > tr:visible dl:visible").count(), await visibleRows(page, "findings-t").count());
  });

  test("a long table shows its beginning, and all of it when asked", async (t) => {
    const page = await open(t, DEMO);
    const total = await page.locator("#connectors-t > tbody > tr").count();
    assert.ok(total > 25, "the demo has a long table");
    assert.equal(await visibleRows(page, "connectors-t").count(), 25);
    assert.match(await page.locator("#connectors .tools").innerText(), /the first 25 are shown/);
    await page.locator("#connectors .tools button").first().click();
    assert.equal(await visibleRows(page, "connectors-t").count(), total);
    await page.locator("#connectors thead button").first().click();
    assert.equal(await visibleRows(page, "connectors-t").count(), total);
    await page.locator("#connectors .tools button").first().click();
    assert.equal(await visibleRows(page, "connectors-t").count(), 25);
  });

  test("a table is copied as TSV with the columns of its file", async (t) => {
    const page = await open(t, DEMO, CLIPBOARD);
    await page.locator("#unverified .tools").getByRole("button", { name: "Copy as TSV" }).click();
    await said(page, /copied/);
    const lines = (await clipboard(page)).trimEnd().split("\n").map((line) => line.split("\t"));
    const head = lines.shift();
    assert.deepEqual([...head].sort(), "account_id,account_name,connector_id,email_domain,verification_status,enabled,txt_name,txt_value,dns_txt,age_days,severity,waived,created_on_utc,updated_on_utc".split(",").sort());
    assert.equal(lines.length, await page.locator("#unverified-t > tbody > tr").count());
    for (const line of lines) {
      assert.equal(line.length, head.length);
      assert.match(line[head.indexOf("txt_value")], /^cloudflare_dashboard_sso=|^$/);
    }
    await page.locator("#findings .tools").getByRole("button", { name: "Copy as TSV" }).click();
    await page.waitForFunction(async () => (await navigator.clipboard.readText()).includes("remediation"));
    const findings = (await clipboard(page)).trimEnd().split("\n").map((line) => line.split("\t"));
    for (const name of "finding_id,rule,severity,status,change,account_id,account_name,owner,connector_id,email_domain,message,remediation,controls,first_seen_utc,waiver_owner,waiver_reason,waiver_expires".split(",")) assert.ok(findings[0].includes(name), name);
    assert.ok(findings[1][findings[0].indexOf("remediation")].length > 5);
  });

  test("only what the filter shows is copied, and nothing a spreadsheet would run", async (t) => {
    const page = await open(t, HOSTILE, CLIPBOARD);
    await page.fill("[name=q]", "=HYPERLINK");
    await said(page, /match in/);
    await page.locator("#connectors .tools").getByRole("button", { name: "Copy as TSV" }).click();
    await said(page, /copied/);
    const text = await clipboard(page);
    const shown = await page.locator("#connectors-t > tbody > tr:not([hidden])").count();
    assert.ok(shown > 0);
    assert.equal(text.trimEnd().split("\n").length, shown + 1);
    assert.doesNotMatch(text, /(^|\t)[=+@-]/m);
    // A cell that begins with a quote is quoted, so that it stays one cell.
    await page.locator("#filter [type=reset]").click();
    await said(page, /No filter/);
    await page.locator("#connectors .tools").getByRole("button", { name: "Copy as TSV" }).click();
    await page.waitForFunction(async (n) => (await navigator.clipboard.readText()).trimEnd().split("\n").length === n, (await page.locator("#connectors-t > tbody > tr").count()) + 1);
    for (const value of (await clipboard(page)).trimEnd().split(/[\n\t]/).filter((v) => v.startsWith('"'))) assert.match(value, /^"(""|[^"])*"$/);
  });

  test("what is copied is guarded as the CSV files are", async (t) => {
    const { guarded, plain } = JSON.parse(readFileSync(new URL("../spreadsheet-cases.json", import.meta.url), "utf8"));
    const page = await open(t, HOSTILE, CLIPBOARD);
    await page.locator("#disabled .tools").getByRole("button", { name: "Copy as TSV" }).click();
    await said(page, /copied/);
    const [head, ...lines] = (await clipboard(page)).trimEnd().split("\n").map((line) => line.split("\t"));
    const copied = new Map(lines.map((line) => [line[head.indexOf("email_domain")], line[head.indexOf("account_name")]]));
    for (const [index, [text, written]] of [...guarded, ...plain.map((text) => [text, text])].entries()) {
      const cell = copied.get(`case-${index}.example`).replace(/^"(.*)"$/, (_, inner) => inner.replaceAll('""', '"'));
      // The page shows signs in the place of what cannot be seen, and no white space at the ends.
      if (/[\p{Cc}\p{Cf}]/u.test(text)) {
        assert.doesNotMatch(cell, /(^|[;,])[\s\p{Cf}]*[=+\-@\uff1d\uff0b\uff0d\uff20\u2212]/u, JSON.stringify(text));
        continue;
      }
      const flat = (value) => value.replace(/\s+/g, "");
      assert.equal(flat(cell), flat(written), JSON.stringify(text));
    }
  });

  test("no character is cut in two", async (t) => {
    const page = await open(t, HOSTILE);
    const family = "\u{1f468}\u200d\u{1f469}\u200d\u{1f467}";
    const cut = await page.evaluate(() => [
      ...[...document.querySelectorAll("bdi")].map((e) => e.textContent),
      ...[...document.querySelectorAll("[aria-label]")].map((e) => e.getAttribute("aria-label")),
    ].filter((text) => text.includes("fff")));
    assert.ok(cut.some((text) => text.endsWith(`${family}…`)), "a text that is cut behind its hundred and sixtieth character");
    assert.ok(cut.some((text) => /^Copy/.test(text) && text.endsWith(family)), "a label that is cut behind its eightieth");
    for (const text of cut) assert.doesNotMatch(text.replaceAll(family, ""), /[\u{1f468}\u{1f469}\u{1f467}\u200d\ufffd]|[\ud800-\udfff]/u, text);
  });

  test("the TXT record is copied whole", async (t) => {
    const page = await open(t, DEMO, CLIPBOARD);
    const value = await page.locator("#unverified-t td.x bdi").nth(1).textContent();
    await page.locator("#unverified-t .copy").first().click();
    await said(page, /TXT value copied/);
    assert.equal(await clipboard(page), value);
  });

  test("copying works where the clipboard is not given", async (t) => {
    const page = await open(t, DEMO);
    await page.evaluate(() => {
      Object.defineProperty(navigator, "clipboard", { value: undefined });
      document.addEventListener("copy", () => { window.copied = document.activeElement.value; });
    });
    await page.locator("#unverified-t .copy").first().focus();
    await page.keyboard.press("Enter");
    await said(page, /TXT value copied/);
    assert.match(await page.evaluate(() => window.copied), /cloudflare_dashboard_sso=/);
    assert.equal(await page.evaluate(() => document.activeElement.className), "copy", "focus comes back");
  });

  test("the address keeps the filter, and gives it back", async (t) => {
    const page = await open(t, DEMO);
    await page.click("#more-filters");
    await page.check("[name=severity][value=high]");
    await page.fill("[name=q]", "a & b?");
    // What is said at first may still be about the severity alone.
    await page.waitForFunction(() => location.hash.includes("q="));
    await said(page, /match in/);
    const { hash } = new URL(page.url());
    assert.match(hash, /^#\?/);
    await page.fill("[name=q]", "");
    await page.waitForFunction(() => !location.hash.includes("q="));
    const kept = new URL(page.url()).hash;
    const again = await open(t, DEMO, { hash: kept });
    assert.equal(await again.isChecked("[name=severity][value=high]"), true);
    const severities = await again.locator("#findings-t > tbody > tr:not([hidden]) > :first-child").allTextContents();
    assert.deepEqual(new Set(severities), new Set(["high"]));
    const words = await open(t, DEMO, { hash });
    assert.equal(await words.inputValue("[name=q]"), "a & b?");
    // A section's link keeps it.
    await again.locator('.contents a[href="#findings"]').click();
    await again.waitForFunction(() => document.querySelector("#findings h2").getBoundingClientRect().top >= document.querySelector("#filter").getBoundingClientRect().bottom);
    await again.waitForFunction(() => location.hash.startsWith("#findings?"));
    assert.ok(new URL(again.url()).hash.includes("severity=high"));
  });

  test("deep links reach an account, a connector and a finding, wherever they hide", async (t) => {
    const probe = await open(t, DEMO);
    for (const table of ["accounts-t", "connectors-t", "findings-t"]) {
      const id = await probe.locator(`#${table} > tbody > tr`).last().getAttribute("id");
      assert.match(id, /^(account|connector|finding)-[\w-]+$/);
      const page = await open(t, DEMO, { hash: `#${id}` });
      const row = page.locator(`[id="${id}"]`);
      assert.equal(await row.isVisible(), true);
      await page.waitForFunction((anchor) => {
        const { top, bottom } = document.getElementById(anchor).getBoundingClientRect();
        return top >= 0 && bottom <= innerHeight;
      }, id);
      assert.equal(await page.evaluate(() => document.activeElement.id), id);
      // With a filter that hides it, it still shows.
      const hidden = await open(t, DEMO, { hash: `#${id}?q=nothing-has-this` });
      assert.equal(await hidden.locator(`[id="${id}"]`).isVisible(), true);
    }
    await probe.evaluate(() => { location.hash = "#connector-not-there"; });
    await said(probe, /connectors\.csv/);
  });

  test("from a finding to its account and its connector", async (t) => {
    const page = await open(t, DEMO);
    const row = page.locator("#findings-t > tbody > tr").filter({ has: page.locator('a[href^="#connector-"]') }).first();
    for (const kind of ["connector", "account"]) {
      const link = row.locator(`a[href^="#${kind}-"]`);
      const target = (await link.getAttribute("href")).slice(1);
      await link.click();
      await page.waitForFunction((id) => document.activeElement.id === id, target);
      assert.equal(await page.locator(`[id="${target}"]`).isVisible(), true);
    }
  });

  test("a cell of the matrix leads to its findings", async (t) => {
    const page = await open(t, DEMO);
    const cell = page.locator("#matrix-t .cell").first();
    const [open_, waived] = (await cell.textContent()).match(/^(\d+)?(?: ?\((\d+)\))?$/).slice(1).map((n) => Number(n ?? 0));
    await cell.click();
    await said(page, /match in/);
    assert.equal(await page.locator("#findings-t > tbody > tr:not([hidden])").count(), open_ + waived);
    assert.match(new URL(page.url()).hash, /^#findings\?.*rule=/);
  });

  test("a small screen shows rows as cards with their labels", async (t) => {
    const page = await open(t, DEMO, { viewport: { width: 360, height: 800 } });
    const label = await page.locator("#unverified-t > tbody > tr:first-child > td").first().evaluate((e) => getComputedStyle(e, "::before").content);
    assert.equal(label, '"Severity"');
    const box = await page.locator("#unverified-t > tbody > tr:first-child").boundingBox();
    assert.ok(box.x >= 0 && box.x + box.width <= 360);
  });
});

describe("safety", () => {
  test("the policy lets nothing but the page's own style and script work", async (t) => {
    const html = readFileSync(DEMO, "utf8");
    const [, policy] = html.match(/<meta http-equiv="Content-Security-Policy" content="([^"]*)">/);
    assert.match(policy, /^default-src 'none'; style-src 'sha256-[A-Za-z0-9+/]{43}='; script-src 'sha256-[A-Za-z0-9+/]{43}='; img-src data:; base-uri 'none'; form-action 'none'$/);
    assert.ok(html.indexOf("Content-Security-Policy") < html.indexOf("<style>"));

    const tampered = join(scratch, "tampered.html");
    writeFileSync(tampered, html.replace("</body>", `<script>window.pwned = 1</script><img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=" onload="window.pwned = 2">
      <p id="styled" style="color: rgb(1, 2, 3)">x</p><style>#styled { color: rgb(4, 5, 6) }</style>
      <iframe srcdoc="<script>parent.pwned = 3</script>"></iframe><img src="http://127.0.0.1:9/x.png"></body>`));
    const context = await browser.newContext();
    t.after(() => context.close());
    const page = await context.newPage();
    const refused = [];
    page.on("console", (message) => refused.push(message.text()));
    await page.goto(pathToFileURL(tampered).href);
    assert.equal(await page.evaluate(() => window.pwned), undefined);
    assert.doesNotMatch(await page.locator("#styled").evaluate((e) => getComputedStyle(e).color), /rgb\((1, 2, 3|4, 5, 6)\)/);
    assert.ok(refused.filter((text) => text.includes("Content Security Policy")).length >= 4, refused.join("\n"));
    // The page's own still work.
    assert.equal(await page.evaluate(() => document.documentElement.className), "js ready");
    assert.notEqual(await page.evaluate(() => getComputedStyle(document.body).margin), "8px");
  });

  test("hostile names are shown, and do nothing", async (t) => {
    const page = await open(t, HOSTILE);
    await page.fill("[name=q]", "a");
    await said(page, /match in/);
    await page.locator("#filter [type=reset]").click();
    assert.equal(await page.evaluate(() => window.pwned), undefined);
    assert.equal(await page.locator("main img, main script, main iframe, main svg[onload], main [onerror], main [onmouseover]").count(), 0);
    const text = await page.evaluate(() => document.querySelector("main").textContent);
    assert.match(text, /<img src=x onerror=/);
    assert.match(text, /<\/script><script>/);
    // Marks that turn the reading direction are spelled out; names stay apart from what surrounds them.
    assert.match(text, /⟨U\+202E⟩/);
    assert.doesNotMatch(text, /[\u202a-\u202e\u2066-\u2069\u0000]/);
    assert.equal(await page.locator("#connectors-t bdi").first().evaluate((e) => getComputedStyle(e).unicodeBidi), "isolate");
    const anchors = await page.evaluate(() => [...document.querySelectorAll("[id]")].map((e) => e.id).filter((id) => !/^[\w-]+$/.test(id)));
    assert.deepEqual(anchors, []);
    if (SHOTS) await page.screenshot({ path: join(SHOTS, "hostile.png"), fullPage: true });
  });

  test("three hundred letters are cut, and shown when asked", async (t) => {
    const page = await open(t, HOSTILE);
    // A field of ten thousand is cut to three hundred and a sign before it comes here. The row may stand beyond those that show at first.
    const all = page.locator("#connectors").getByRole("button", { name: /^Show all \d+$/ });
    if (await all.isVisible()) await all.click();
    // Marked, for its words change when it is pressed.
    await page.locator("#connectors-t .rest").filter({ hasText: "301" }).first().evaluate((e) => { e.id = "probe"; });
    const button = page.locator("#probe");
    const text = button.locator("xpath=preceding-sibling::*[1]/descendant-or-self::bdi");
    assert.equal(await button.innerText(), "Show all 301 characters");
    const height = async () => (await text.boundingBox()).height;
    const cut = await height();
    assert.ok(cut < 250, `${cut}`);
    await button.click();
    assert.equal((await text.textContent()).length, 301);
    assert.ok((await height()) > cut);
    assert.ok((await overflow(page)) <= 0);
    assert.equal(await button.innerText(), "Show less");
    await button.click();
    assert.equal(await height(), cut);
  });

  test("what is cut is still found and printed", async (t) => {
    const page = await open(t, HOSTILE);
    await page.fill("[name=q]", "A".repeat(290));
    await said(page, /match in/);
    assert.ok((await page.locator("#connectors-t > tbody > tr:not([hidden])").count()) > 0);
    const longest = () => page.evaluate(() => Math.max(...[...document.querySelectorAll("#connectors-t bdi")].map((e) => e.textContent.length)));
    const cut = await longest();
    await page.evaluate(() => dispatchEvent(new Event("beforeprint")));
    assert.equal(await longest(), 301);
    await page.evaluate(() => dispatchEvent(new Event("afterprint")));
    assert.equal(await longest(), cut);
  });
});

describe("print", () => {
  for (const format of ["A4", "Letter"]) {
    test(`${format}: heads repeated, details open, all rows, nothing cut`, async (t) => {
      const page = await open(t, DEMO);
      const rows = await page.locator("#connectors-t > tbody > tr").count();
      await page.evaluate(() => { window.print = () => {}; });
      await page.click("#print-all");
      const pdf = join(SHOTS ?? scratch, `demo-${format}.pdf`);
      await page.pdf({ path: pdf, format, preferCSSPageSize: false, printBackground: false });
      const pages = execFileSync("pdftotext", ["-layout", pdf, "-"], { encoding: "utf8", maxBuffer: 1 << 26 }).split("\f").filter((p) => p.trim());
      const text = pages.join("\n");
      assert.match(text, /Remediation:/);
      assert.doesNotMatch(text, /Copy as TSV|Show all|Search all tables|More filters/);
      // Ids break over lines in a narrow column: read cell by cell, without the spaces.
      const raw = execFileSync("pdftotext", ["-raw", pdf, "-"], { encoding: "utf8", maxBuffer: 1 << 26 }).replace(/\s+/g, "");
      const ids = await page.locator("#connectors-t > tbody > tr > th a").allTextContents();
      assert.equal(ids.length, rows);
      assert.deepEqual(ids.filter((id) => !raw.includes(id.trim())), []);
      const heads = pages.filter((p) => /Severity\s+Finding\s/.test(p)).length;
      const withFindings = pages.filter((p) => /Remediation:/.test(p)).length;
      assert.ok(withFindings > 1 && heads >= withFindings, `${heads} heads for ${withFindings} pages`);

      // Laid out for this paper, nothing is wider than the paper and no table scrolls.
      await page.click("#print-all");
      await page.emulateMedia({ media: "print" });
      const paper = Math.floor(((format === "A4" ? 210 : 215.9) - 24) / 25.4 * 96);
      await page.setViewportSize({ width: paper, height: 1000 });
      assert.ok((await overflow(page)) <= 0);
      const wide = await page.evaluate(() => [...document.querySelectorAll(".t")].filter((box) => box.scrollWidth > box.clientWidth + 1).map((box) => box.firstElementChild.id));
      assert.deepEqual(wide, []);
      assert.equal(await page.locator("#connectors-t > tbody > tr:visible").count(), rows);
      assert.equal(await page.locator("#findings-t dl:visible").count(), await page.locator("#findings-t dl").count());
      assert.equal(await page.locator("#findings-t tr").nth(1).evaluate((e) => getComputedStyle(e).breakInside), "avoid");
      // The counts of the matrix are buttons, and are content.
      assert.equal(await page.locator("button:not(.cell):visible").count(), 0);
    });
  }

  const pagesOf = async (page, name) => {
    const pdf = join(SHOTS ?? scratch, `${name}.pdf`);
    await page.pdf({ path: pdf, preferCSSPageSize: true });
    const text = execFileSync("pdftotext", ["-layout", pdf, "-"], { encoding: "utf8", maxBuffer: 1 << 26 });
    return text.split("\f").filter((p) => p.trim());
  };

  test("the print edition has what calls for action on six pages, each with the run and its number", async (t) => {
    const page = await open(t, DEMO);
    const pages = await pagesOf(page, "edition");
    assert.ok(pages.length <= 6, `${pages.length} pages`);
    const run = await page.locator(".masthead code").innerText();
    for (const [i, text] of pages.entries()) {
      assert.match(text, new RegExp(`run ${run}`));
      assert.match(text, new RegExp(`${i + 1}\\s*/\\s*${pages.length}`));
    }
    await page.emulateMedia({ media: "print" });
    await page.setViewportSize({ width: Math.floor((297 - 22) / 25.4 * 96), height: 700 });
    const wide = await page.evaluate(() => [...document.querySelectorAll(".t")].filter((box) => box.scrollWidth > box.clientWidth + 1).map((box) => box.firstElementChild.id));
    assert.deepEqual(wide, [], "tables wider than the paper");
    await page.emulateMedia({ media: null });
    const all = pages.join("\n");
    for (const heading of ["Do first", "What changed", "Unverified domains", "Disabled connectors", "FedRAMP settings", "Unread accounts", "Waivers", "Attestations", "Controls supported"]) assert.match(all, new RegExp(heading));
    assert.doesNotMatch(all, /About this report|Connector inventory|Findings, worst first/);
    // After everything was printed, the edition is what is printed again.
    await page.evaluate(() => { window.print = () => {}; });
    await page.click("#print-all");
    const everything = await pagesOf(page, "everything");
    assert.ok(everything.length > pages.length && /About this report/.test(everything.join("\n")));
    await page.evaluate(() => dispatchEvent(new Event("afterprint")));
    assert.equal((await pagesOf(page, "again")).length, pages.length);
  });

  test("an edition of very many rows stays short, and says what it leaves out", async (t) => {
    const page = await open(t, LARGE);
    const pages = await pagesOf(page, "large-edition");
    assert.ok(pages.length <= 12, `${pages.length} pages`);
    assert.match(pages.join("\n"), /The print edition has the first 40 rows of [\d,]+; all are in unverified_domains\.csv/);
  });

  test("print is light, and colours that mean something are printed", async (t) => {
    const page = await open(t, DEMO, { colorScheme: "dark" });
    await page.emulateMedia({ media: "print", colorScheme: "dark" });
    assert.equal(await page.evaluate(() => getComputedStyle(document.documentElement).colorScheme), "light");
    assert.equal(await page.locator("i.high, i.medium").first().evaluate((e) => getComputedStyle(e).printColorAdjust), "exact");
    // In grey the severities still go from dark to light.
    const greys = await page.evaluate(() => ["critical", "high", "medium", "low"].map((name) => {
      const chip = document.createElement("i");
      chip.className = name;
      document.body.append(chip);
      const [r, g, b] = getComputedStyle(chip).backgroundColor.match(/[\d.]+/g).map((v) => (Number(v) / 255) ** 2.2);
      chip.remove();
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    }));
    for (let i = 1; i < greys.length; i += 1) assert.ok(greys[i] > greys[i - 1] + 0.05, greys.join());
  });

  test("a filtered page says in print that it is filtered", async (t) => {
    const page = await open(t, DEMO);
    await page.fill("[name=q]", "pending");
    await said(page, /match in/);
    await page.emulateMedia({ media: "print" });
    assert.match(await page.locator("#unverified .tools").innerText(), /\d+ of \d+ rows? match/);
  });
});

describe("size", () => {
  test("the large page is under 5 MB and usable within 2 seconds", async (t) => {
    const { size } = statSync(LARGE);
    assert.ok(size > 1_000_000, `${size} bytes: not a large page`);
    assert.ok(size < 5_000_000, `${size} bytes`);
    const page = await open(t, LARGE);
    const ready = await page.evaluate(() => performance.getEntriesByType("navigation")[0].domContentLoadedEventEnd);
    const painted = await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? 0);
    t.diagnostic(`${size} bytes; ready after ${Math.round(ready)} ms, painted after ${Math.round(painted)} ms`);
    assert.ok(ready < 2000, `ready after ${ready} ms`);
    assert.ok(painted < 2000, `painted after ${painted} ms`);

    // The first search has to read every row, also of those that are not drawn; then it answers as one types.
    for (const [word, limit] of [["example", 3000], ["mail", 1000]]) {
      const took = await page.evaluate((text) => new Promise((done) => {
        const field = document.querySelector("#filter").elements.q;
        const start = performance.now();
        field.value = text;
        field.dispatchEvent(new Event("input", { bubbles: true }));
        new MutationObserver((_, observer) => {
          if (!/match/.test(document.querySelector("#matches").textContent)) return;
          observer.disconnect();
          requestAnimationFrame(() => setTimeout(() => done(performance.now() - start)));
        }).observe(document.querySelector("#matches"), { childList: true });
      }), word);
      t.diagnostic(`search for ${word}: ${Math.round(took)} ms`);
      assert.ok(took < limit, `search took ${took} ms`);
    }
    const took = await page.evaluate(() => {
      const start = performance.now();
      document.querySelector("#connectors-t thead button").click();
      document.body.getBoundingClientRect();
      return performance.now() - start;
    });
    t.diagnostic(`sort: ${Math.round(took)} ms`);
    assert.ok(took < 1000, `sort took ${took} ms`);
  });

  test("the large page says what it leaves out, and where that is", async (t) => {
    const page = await open(t, LARGE);
    const notes = await page.locator(".cut:not(.edition)").allInnerTexts();
    assert.ok(notes.length > 0);
    for (const note of notes) assert.match(note, /^(Showing the [\d,]+ worst of [\d,]+\. The search finds .*; all rows are in \w+\.csv|[\d,]+ more .* in \w+\.csv)/);
  });

  test("the search of a large page finds rows that are not drawn, and says which it does not know", async (t) => {
    const page = await open(t, LARGE);
    // The findings of this account stand beyond the first 500.
    const account = "customer-1000.example";
    assert.equal(await page.locator("#findings-t > tbody > tr").filter({ hasText: account }).count(), 0);
    await page.fill("[name=q]", account);
    await said(page, /match in/);
    const found = page.locator("#findings-t > tbody > tr:visible").filter({ hasText: account });
    assert.equal(await found.count(), 15);
    assert.match(await page.locator("#findings .tools").innerText(), /15 of [\d,]+ rows match/);
    // Its details open as those of the others do.
    await found.first().locator(".tog").click();
    assert.match(await found.first().locator("dl").innerText(), /Remediation/);
    // Of 200,000 connectors there is room for some.
    assert.match(await page.locator("#matches").innerText(), /Not searched: .*[\d,]+ rows that are only in connectors\.csv/);
    await page.click("#filter [type=reset]");
    await said(page, /No filter/);
    assert.equal(await page.locator("#findings-t > tbody > tr").count(), 500);
  });

  test("the large page scrolls to its end without the script", async (t) => {
    const page = await open(t, LARGE, { javaScriptEnabled: false });
    const ready = await page.evaluate(() => performance.getEntriesByType("navigation")[0].domContentLoadedEventEnd);
    assert.ok(ready < 2000, `ready after ${ready} ms`);
    assert.ok((await overflow(page)) <= 0);
  });
});

if (SHOTS) {
  describe("screenshots", () => {
    for (const [name, options] of [
      ["light", { viewport: { width: 1600, height: 1000 }, colorScheme: "light" }],
      ["dark", { viewport: { width: 1600, height: 1000 }, colorScheme: "dark" }],
      ["narrow", { viewport: { width: 360, height: 800 } }],
      ["medium", { viewport: { width: 800, height: 1000 } }],
    ]) {
      test(name, async (t) => {
        const page = await open(t, DEMO, options);
        await page.screenshot({ path: join(SHOTS, `${name}.png`) });
        await page.screenshot({ path: join(SHOTS, `${name}-full.png`), fullPage: name !== "narrow" });
      });
    }
  });
}
