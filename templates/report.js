// What the page can do beyond being read. Without this file everything is there; nothing is hidden.
"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("js");
  // The rows show from here on, whatever becomes of the rest of this file.
  document.addEventListener("DOMContentLoaded", () => root.classList.add("ready"));

  /** Rows of a table shown until asked for more; the same number is in report.css. */
  const LIMIT = 25;
  /** Texts longer than `LONG` characters are shown cut to `CUT`, with a button. */
  const LONG = 400;
  const CUT = 160;
  const RANK = { critical: 4, high: 3, medium: 2, low: 1 };
  const $ = (selector, from = document) => from.querySelector(selector);
  const $$ = (selector, from = document) => [...from.querySelectorAll(selector)];
  const english = new Intl.NumberFormat("en");
  const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
  const rows = (n) => english.format(n) + (n === 1 ? " row" : " rows");

  function button(label, onclick, className) {
    const element = document.createElement("button");
    element.type = "button";
    element.textContent = label;
    if (className) element.className = className;
    if (onclick) element.addEventListener("click", onclick);
    return element;
  }

  /** The texts of elements that show only their beginning. */
  const whole = new Map();
  const textOf = (element) => (whole.get(element) ?? element.textContent).trim();

  function say(text) {
    const live = $("#live");
    // Emptied first, so that the same text is announced again.
    live.textContent = "";
    setTimeout(() => { live.textContent = text; }, 50);
  }

  async function copy(text, what) {
    let done = false;
    try {
      await navigator.clipboard.writeText(text);
      done = true;
    } catch {
      // Not allowed, or no such thing in this viewer: the old way, which needs a selection.
      const area = document.createElement("textarea");
      area.value = text;
      area.className = "vh";
      area.setAttribute("aria-label", what);
      document.body.append(area);
      const before = document.activeElement;
      area.select();
      done = document.execCommand("copy");
      area.remove();
      if (before) before.focus();
    }
    say(done ? what + " copied." : "This viewer does not allow copying. Select the text instead.");
    return done;
  }

  // ------------------------------------------------------------ light and dark

  const store = {
    get(key) { try { return localStorage.getItem(key); } catch { return null; } },
    set(key, value) { try { localStorage.setItem(key, value); } catch { /* A file or a sandbox: not kept. */ } },
  };
  const chosen = store.get("cf-sso-audit-theme");
  if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;

  function themeSwitch() {
    const preferred = matchMedia("(prefers-color-scheme: dark)");
    const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : preferred.matches);
    const label = () => { $("#theme").textContent = isDark() ? "Light" : "Dark"; };
    label();
    preferred.addEventListener("change", label);
    $("#theme").addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      store.set("cf-sso-audit-theme", root.dataset.theme);
      label();
    });
  }

  // ------------------------------------------------------------ tables

  /** A table of rows. Its columns' names (`data-t`, as in the CSV file) say which value is what: a cell of one
   *  name is one value, in a cell of several each `<bdi>` is one. `data-d` names the terms of the details. */
  class Grid {
    constructor(table) {
      this.table = table;
      this.body = table.tBodies[0];
      this.heads = [...table.tHead.rows[0].cells];
      this.columns = this.heads.map((th) => (th.dataset.t || "").split(" ").filter(Boolean));
      this.details = this.heads.flatMap((th) => (th.dataset.d || "").split(" ").filter(Boolean));
      this.names = new Set([...this.columns.flat(), ...this.details]);
      this.isMatrix = table.classList.contains("matrix");
      this.expanded = false;
      this.shown = this.body.rows.length;
      this.filtered = false;
      this.clip();
      this.addTools();
      this.addSorting();
      if (!this.isMatrix) table.classList.add("cards-ok");
    }

    /** The rows' values, read once when something first needs them. */
    get records() {
      this.read ??= [...this.body.rows].map((row, index) => this.record(row, index));
      return this.read;
    }

    record(row, index) {
      const values = {};
      this.columns.forEach((names, i) => {
        const cell = row.cells[i];
        if (!cell || !names.length) return;
        if (names.length === 1) {
          values[names[0]] = textOf(cell.querySelector("bdi") || cell);
        } else {
          const parts = cell.querySelectorAll("bdi");
          names.forEach((name, k) => { values[name] = parts[k] ? textOf(parts[k]) : ""; });
        }
      });
      if (this.details.length) {
        for (const term of row.querySelectorAll("dt")) {
          const name = term.textContent.toLowerCase().replace(/[^a-z]+/g, "_").replace(/_$/, "");
          const value = term.nextElementSibling;
          values[name] = textOf(value.querySelector("bdi") || value);
        }
      }
      const text = Object.values(values).join("\n").toLowerCase();
      return { row, index, values, text, hit: true };
    }

    addTools() {
      const tools = document.createElement("div");
      tools.className = "tools";
      this.count = document.createElement("span");
      this.all = button("", () => { this.expanded = !this.expanded; this.show(); });
      tools.append(this.count, this.all);
      if (this.body.querySelector("dl")) {
        this.unfold = button("Open all details", () => {
          const open = this.unfold.getAttribute("aria-pressed") !== "true";
          this.unfold.setAttribute("aria-pressed", String(open));
          for (const row of this.body.rows) this.open(row, open);
        });
        this.unfold.setAttribute("aria-pressed", "false");
        tools.append(this.unfold);
      }
      const copyButton = button("Copy as TSV", () => {
        const hits = this.records.filter((r) => r.hit);
        copy(this.tsv(hits), rows(hits.length));
      });
      copyButton.setAttribute("aria-describedby", this.table.caption.id);
      tools.append(copyButton);
      this.table.parentElement.before(tools);
      this.describe();
    }

    addSorting() {
      this.heads.forEach((th, i) => {
        if (!this.columns[i].length) return;
        const label = th.textContent.trim();
        const printed = document.createElement("span");
        printed.className = "p";
        printed.textContent = label;
        th.replaceChildren(printed, button(label, () => this.sort(i)));
        th.setAttribute("aria-sort", "none");
      });
    }

    /** Ascending, descending, and back to the order of the report. Numbers and severities begin with the greatest. */
    sort(column) {
      const th = this.heads[column];
      const name = this.columns[column][0];
      const isSeverity = /severity$/.test(name);
      const isNumber = th.classList.contains("n");
      const first = isSeverity || isNumber ? "descending" : "ascending";
      const second = first === "ascending" ? "descending" : "ascending";
      const now = th.getAttribute("aria-sort");
      const next = now === "none" ? first : now === first ? second : "none";
      for (const other of this.heads) if (other.hasAttribute("aria-sort")) other.setAttribute("aria-sort", "none");
      th.setAttribute("aria-sort", next);

      const sign = next === "descending" ? -1 : 1;
      const key = (record) => {
        const text = record.values[name];
        if (isSeverity) return RANK[text] || 0;
        return isNumber ? Number.parseFloat(text.replace(/,/g, "")) : text;
      };
      const compare = (a, b) => {
        if (typeof a.key === "string") {
          // What is not given comes last, both ways.
          if (!a.key || !b.key) return Number(!a.key) - Number(!b.key);
          return sign * collator.compare(a.key, b.key);
        }
        if (Number.isNaN(a.key) || Number.isNaN(b.key)) return Number(Number.isNaN(a.key)) - Number(Number.isNaN(b.key));
        return sign * (a.key - b.key);
      };
      const records = this.records;
      if (next === "none") {
        records.sort((a, b) => a.index - b.index);
      } else {
        for (const record of records) record.key = key(record);
        records.sort((a, b) => compare(a, b) || a.index - b.index);
      }
      this.body.append(...records.map((r) => r.row));
      this.show();
      say(next === "none" ? "Order of the report." : "Sorted by " + $("button", th).textContent + ", " + next + ".");
    }

    /** Which of the wanted things this table cannot tell. */
    lacks(filter) {
      const needs = { severity: ["severity", "worst_severity"], rule: ["rule", "rules"], status: ["verification_status"], waived: ["waived", "status"], new: ["change"], account: ["account_id"] };
      return Object.keys(needs).filter((key) => filter[key] && !needs[key].some((name) => this.names.has(name)));
    }

    apply(filter) {
      this.filtered = Object.keys(filter).length > 0;
      this.missing = this.lacks(filter);
      if (!this.filtered && !this.read) return;
      const words = (filter.q || "").toLowerCase().split(/\s+/).filter(Boolean);
      const severities = filter.severity ? filter.severity.split(",") : null;
      const account = (filter.account || "").toLowerCase();
      const has = (name) => this.names.has(name);
      for (const record of this.records) {
        const v = record.values;
        record.hit =
          words.every((word) => record.text.includes(word)) &&
          (!severities || !(has("severity") || has("worst_severity")) || severities.includes(v.severity ?? v.worst_severity)) &&
          (!filter.rule || (has("rule") ? v.rule === filter.rule : !has("rules") || v.rules.split(" ").includes(filter.rule))) &&
          (!filter.status || !has("verification_status") || v.verification_status === filter.status) &&
          (!filter.waived || !(has("waived") || has("status")) || (v.waived === "true" || v.status === "waived") === (filter.waived === "yes")) &&
          (!filter.new || !has("change") || v.change === "new") &&
          (!account || !has("account_id") || v.account_id.toLowerCase().includes(account) || v.account_name.toLowerCase().includes(account));
      }
      this.expanded = false;
      this.show();
    }

    /** Makes the rows' visibility what filter and limit say. */
    show() {
      if (this.read) {
        let seen = 0;
        for (const { row, hit } of this.read) {
          row.hidden = !hit;
          if (hit) seen += 1;
          row.classList.toggle("over", hit && !this.expanded && seen > LIMIT);
        }
        this.shown = seen;
      }
      this.clip();
      this.describe();
    }

    /** Until the rows have been read, the style sheet alone limits them. */
    clip() {
      this.table.classList.toggle("clip", !this.read && !this.expanded);
    }

    describe() {
      const total = this.body.rows.length;
      const over = this.shown > LIMIT;
      this.count.textContent = this.filtered ? english.format(this.shown) + " of " + rows(total) + " match" : rows(total);
      if (over && !this.expanded) {
        const first = document.createElement("span");
        first.className = "screen";
        first.textContent = "; the first " + LIMIT + " are shown";
        this.count.append(first);
      }
      if (this.filtered && this.missing.length) this.count.append(" (these rows have no " + this.missing.join(", ") + " to filter by)");
      this.all.hidden = !over;
      this.all.textContent = this.expanded ? "Show the first " + LIMIT : "Show all " + english.format(this.shown);
    }

    open(row, open) {
      row.classList.toggle("open", open);
      const toggle = $(".tog", row);
      if (toggle) {
        toggle.setAttribute("aria-expanded", String(open));
        toggle.textContent = open ? "Hide details" : "Details";
      }
    }

    /** Brings a row into sight, whatever hides it. */
    reveal(row) {
      if (row.hidden) setFilter({});
      if (row.hidden || getComputedStyle(row).display === "none") {
        this.expanded = true;
        this.show();
      }
      if (row.querySelector("dl")) this.open(row, true);
    }

    tsv(records) {
      const names = [...this.columns.flat(), ...this.details];
      const rules = this.isMatrix ? this.heads.map((th, i) => [th.dataset.rule, i]).filter(([rule]) => rule) : [];
      // Numbers and times are ours; other texts come from outside.
      const ours = new Set(this.heads.flatMap((th, i) => (th.classList.contains("n") ? this.columns[i] : [])));
      for (const name of names) if (/_(utc|expires)$/.test(name)) ours.add(name);
      const cell = (text, isOurs) => {
        // A time that is none came from outside too.
        const trusted = isOurs && /^(\d[\d:. -]*)?$/.test(text);
        const flat = trusted ? text : guarded(text);
        // It would take this for the beginning of a quoted cell.
        return flat.startsWith('"') ? '"' + flat.replaceAll('"', '""') + '"' : flat;
      };
      const lines = [[...names, ...rules.map(([rule]) => rule)]];
      for (const { values, row } of records) {
        lines.push([...names.map((name) => cell(values[name] ?? "", ours.has(name))), ...rules.map(([, i]) => row.cells[i].textContent)]);
      }
      return lines.map((line) => line.join("\t")).join("\n") + "\n";
    }
  }

  // ------------------------------------------------------------ spreadsheets

  const INVISIBLE = /[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/u;
  const BARE = new RegExp("^(?:\\s|" + INVISIBLE.source + ")*", "u");
  const DATE_WORDS = "jan feb mar apr may jun jul aug sep sept oct nov dec january february march april june july august september october november december am pm t z".split(" ");

  const bare = (text) => text.replace(BARE, "");
  const isFormula = (cell) => /^[\t\r\n]/.test(cell) || /^[=+\-@\uff1d\uff0b\uff0d\uff20\u2212]/.test(bare(cell));

  function isNumber(text) {
    const plain = text.trim().replace(/^[($\u20ac\u00a3]+/, "").replace(/[)% ]+$/, "");
    if (!/^[\d.,' \u00a0eE+-]+$/.test(plain) || !/\d/.test(plain)) return false;
    return /^[\d.,' \u00a0]+(e[\d.,' \u00a0+-]*)?$/i.test(plain);
  }

  function isDate(text) {
    const plain = text.trim();
    if (plain.length > 40 || !/^[A-Za-z0-9 \-/.:,+]*$/.test(plain)) return false;
    const words = plain.match(/[A-Za-z]+/g) || [];
    const numbers = plain.match(/\d+/g) || [];
    return words.every((word) => DATE_WORDS.includes(word.toLowerCase())) && numbers.length > 0 && numbers.length + words.length > 1;
  }

  /** As src/spreadsheet.rs writes it into the CSV files; tests/spreadsheet-cases.json holds both to the same. */
  function guarded(text) {
    let line = isFormula(text) || isNumber(text) || isDate(text) ? "'" : "";
    for (const [at, cell] of text.split(/(?<=[;,\t])/).entries()) {
      const start = cell.length - bare(cell).length;
      line += at > 0 && isFormula(cell) ? cell.slice(0, start) + "'" + cell.slice(start) : cell;
    }
    return line.replace(/[\n\r\t\u2028\u2029]/g, " ");
  }

  // ------------------------------------------------------------ filter and address

  let grids = [];
  let filter = {};

  function readForm() {
    const data = new FormData($("#filter"));
    const wanted = {};
    for (const key of ["q", "account", "rule", "status", "waived", "new"]) {
      const value = (data.get(key) || "").trim();
      if (value) wanted[key] = value;
    }
    const severities = data.getAll("severity");
    if (severities.length) wanted.severity = severities.join(",");
    return wanted;
  }

  function writeForm() {
    const form = $("#filter");
    for (const key of ["q", "account", "rule", "status", "waived"]) form.elements[key].value = filter[key] || "";
    form.elements.new.checked = Boolean(filter.new);
    const severities = (filter.severity || "").split(",");
    for (const box of $$('[name="severity"]', form)) box.checked = severities.includes(box.value);
    if (Object.keys(filter).some((key) => key !== "q" && key !== "account")) moreFilters(true);
  }

  function setFilter(wanted) {
    filter = wanted;
    writeForm();
    refresh();
  }

  function refresh() {
    for (const grid of grids) grid.apply(filter);
    const active = Object.keys(filter).length > 0;
    const able = grids.filter((grid) => !grid.isMatrix && !grid.missing.length);
    const matches = able.reduce((sum, grid) => sum + grid.shown, 0);
    const text = active ? rows(matches) + " match in " + able.length + (able.length === 1 ? " table." : " tables.") : "";
    $("#matches").textContent = text;
    say(active ? text : "No filter.");
    address(anchorOf(location.hash));
  }

  // The address is `#anchor?filter`, either part optional.
  const anchorOf = (hash) => hash.slice(1).split("?")[0];
  const queryOf = (hash) => Object.fromEntries(new URLSearchParams(hash.split("?").slice(1).join("?")));

  function address(anchor) {
    const query = new URLSearchParams(filter).toString();
    const hash = anchor + (query ? "?" + query : "");
    if (hash === location.hash.slice(1)) return;
    try {
      history.replaceState(null, "", hash ? "#" + hash : location.pathname + location.search);
    } catch { /* A sandboxed viewer has no address to keep it in. */ }
  }

  function follow(event) {
    const { hash } = location;
    if (hash.includes("?")) {
      const known = ["q", "account", "severity", "rule", "status", "waived", "new"];
      setFilter(Object.fromEntries(Object.entries(queryOf(hash)).filter(([key, value]) => known.includes(key) && value)));
    }
    for (const row of $$("tr.target")) row.classList.remove("target");
    const anchor = anchorOf(hash);
    if (!anchor) return;
    const element = document.getElementById(anchor);
    if (!element) {
      const files = { account: "accounts.csv", connector: "connectors.csv", finding: "findings.csv" };
      const file = files[anchor.split("-")[0]];
      if (file) {
        const text = "That row is not on this page; look in " + file + ".";
        $("#matches").textContent = text;
        say(text);
      }
      return;
    }
    const grid = element.matches("tr") && grids.find((g) => g.table.contains(element));
    if (grid) {
      grid.reveal(element);
      element.classList.add("target");
      element.tabIndex = -1;
      element.focus({ preventScroll: true });
    }
    // The browser has looked before the rows were there, or for an anchor with the filter in it.
    if (!event || grid || hash.includes("?")) element.scrollIntoView({ block: grid ? "center" : "start", behavior: "instant" });
    address(anchor);
  }

  function moreFilters(open) {
    $("#filter").classList.toggle("more", open);
    $("#more-filters").setAttribute("aria-expanded", String(open));
    $("#more-filters").textContent = open ? "Fewer filters" : "More filters";
  }

  function filterForm() {
    const form = $("#filter");
    let timer;
    const update = () => { filter = readForm(); refresh(); };
    form.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(update, 120); });
    form.addEventListener("submit", (event) => { event.preventDefault(); clearTimeout(timer); update(); });
    form.addEventListener("reset", (event) => { event.preventDefault(); clearTimeout(timer); setFilter({}); });
    $("#more-filters").addEventListener("click", () => moreFilters(!form.classList.contains("more")));
    moreFilters(false);
    form.elements.account.addEventListener("focus", listAccounts, { once: true });
    document.addEventListener("keydown", (event) => {
      const typing = event.target.matches("input, select, textarea");
      if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
        event.preventDefault();
        form.elements.q.focus();
      } else if (event.key === "Escape" && typing && form.contains(event.target)) {
        setFilter({});
      }
    });
  }

  /** What is scrolled to must not end up under the filter, where it sticks to the top. */
  function keepClear() {
    const form = $("#filter");
    const update = () => {
      const sticks = getComputedStyle(form).position === "sticky";
      root.style.scrollPaddingTop = sticks ? form.offsetHeight + 16 + "px" : "";
    };
    new ResizeObserver(update).observe(form);
  }

  function listAccounts() {
    const grid = grids.find((g) => g.table.id === "accounts-t");
    if (!grid) return;
    $("#account-list").append(...grid.records.map(({ values }) => {
      const option = document.createElement("option");
      option.value = values.account_id;
      option.label = values.account_name;
      return option;
    }));
  }

  // ------------------------------------------------------------ rows

  /** The beginning of a text, as many of its characters as people see; those that consist of several are not cut in two. */
  function shortened(text, most) {
    const beginning = new Intl.Segmenter().segment(text)[Symbol.iterator]();
    let short = "";
    for (let count = 0; count < most; count += 1) {
      const { done, value } = beginning.next();
      if (done) break;
      short += value.segment;
    }
    return short;
  }

  function rowButtons() {
    for (const list of $$("tbody dl")) {
      const toggle = button("Details", null, "tog");
      toggle.setAttribute("aria-expanded", "false");
      list.before(toggle);
    }
    for (const cell of $$("td.x")) {
      const copyButton = button("Copy", null, "copy");
      const domain = $("bdi", cell).textContent;
      copyButton.setAttribute("aria-label", "Copy the value of the TXT record" + (domain ? " for " + shortened(domain, 80) : ""));
      cell.prepend(copyButton);
    }
    for (const table of $$("table.matrix")) {
      const rules = [...table.tHead.rows[0].cells].map((th) => [th.dataset.rule, th.textContent.trim()]);
      for (const row of table.tBodies[0].rows) {
        for (let i = 1; i < row.cells.length; i += 1) {
          const cell = row.cells[i];
          if (!cell.firstChild) continue;
          const count = button(cell.textContent, null, "cell");
          count.title = rules[i][1];
          cell.textContent = "";
          cell.append(count);
        }
      }
    }
    document.addEventListener("click", (event) => {
      const target = event.target.closest("button");
      if (!target) return;
      if (target.classList.contains("tog")) {
        const row = target.closest("tr");
        grids.find((g) => g.table.contains(row)).open(row, !row.classList.contains("open"));
      } else if (target.classList.contains("copy")) {
        copy(textOf($$("bdi", target.parentElement)[1]), "TXT value");
      } else if (target.classList.contains("cell")) {
        const cell = target.parentElement;
        const account = textOf($$("bdi", cell.parentElement.cells[0])[1]);
        setFilter({ account, rule: cell.closest("table").tHead.rows[0].cells[cell.cellIndex].dataset.rule });
        $("#findings").scrollIntoView({ block: "start" });
        address("findings");
      }
    });
  }

  /** Very long texts are cut, each with a button; print has them whole. A name of ten thousand letters without a
   *  space also takes the browser a tenth of a second to lay out. */
  function longTexts() {
    const shorten = (text) => {
      text.textContent = shortened(whole.get(text), CUT) + "…";
    };
    for (const text of $$("bdi")) {
      const { length } = text.textContent;
      if (length <= LONG) continue;
      whole.set(text, text.textContent);
      shorten(text);
      const label = "Show all " + english.format(length) + " characters";
      const rest = button(label, () => {
        const open = rest.getAttribute("aria-expanded") !== "true";
        rest.setAttribute("aria-expanded", String(open));
        rest.textContent = open ? "Show less" : label;
        if (open) text.textContent = whole.get(text);
        else shorten(text);
      }, "rest");
      rest.setAttribute("aria-expanded", "false");
      (text.closest("a, i") || text).after(rest);
    }
    window.addEventListener("beforeprint", () => { for (const [text, all] of whole) text.textContent = all; });
    window.addEventListener("afterprint", () => {
      for (const rest of $$('.rest[aria-expanded="false"]')) {
        const before = rest.previousElementSibling;
        shorten(whole.has(before) ? before : $("bdi", before));
      }
    });
  }

  /** On a small screen a row is a card whose values carry their columns' names. */
  function cardLabels() {
    const sheet = document.styleSheets[0];
    const labels = grids.filter((g) => !g.isMatrix).flatMap((grid) => grid.heads.map((th, i) =>
      "#" + grid.table.id + ">tbody>tr>td:nth-child(" + (i + 1) + ")::before{content:" + JSON.stringify(($("button", th) || th).textContent.trim()) + "}"));
    sheet.insertRule("@media screen and (max-width:60rem){" + labels.join("") + "}", sheet.cssRules.length);
  }

  function folds() {
    for (const fold of $$(".fold")) {
      const what = fold.dataset.fold;
      const toggle = button("Show " + what, () => {
        const open = fold.classList.toggle("open");
        toggle.setAttribute("aria-expanded", String(open));
        toggle.textContent = (open ? "Hide " : "Show ") + what;
      });
      toggle.setAttribute("aria-expanded", "false");
      fold.prepend(toggle);
    }
  }

  /** Marks in the list of sections where the reader is. */
  function whereAmI() {
    const links = new Map($$(".contents a").map((a) => [a.hash.slice(1), a]));
    const seen = new Set();
    const observer = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) isIntersecting ? seen.add(target) : seen.delete(target);
      const here = $$("main > section").find((section) => seen.has(section));
      for (const [id, link] of links) {
        const now = here && id === here.id;
        link.classList.toggle("here", now);
        now ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current");
      }
    }, { rootMargin: "-20% 0px -60% 0px" });
    for (const section of $$("main > section")) observer.observe(section);
  }

  document.addEventListener("DOMContentLoaded", () => {
    themeSwitch();
    $("#print").addEventListener("click", () => window.print());
    grids = $$("table[data-file], table.matrix").map((table) => new Grid(table));
    rowButtons();
    filterForm();
    keepClear();
    cardLabels();
    folds();
    whereAmI();
    follow();
    window.addEventListener("hashchange", follow);
    longTexts();
  });
})();
