// What the page can do beyond being read. Without this file everything is there; nothing is hidden.
"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("js");
  // The rows show from here on, whatever becomes of the rest of this file.
  document.addEventListener("DOMContentLoaded", () => root.classList.add("ready"));

  /** Rows of a table shown until asked for more; the same number is in report.css. */
  const LIMIT = 25;
  /** Texts longer than `LONG` characters, which no domain is, are shown cut to `CUT`, with a button. */
  const LONG = 260;
  const CUT = 160;
  /** So many of the rows that match beyond those drawn are drawn at most, in each table. */
  const MOST_BEYOND = 1000;
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

  const density = store.get("cf-sso-audit-rows");
  if (density === "comfortable") root.dataset.rows = density;

  /** One line a row, or as many as its values take. */
  function rowsSwitch() {
    const label = () => { $("#rows").textContent = root.dataset.rows === "comfortable" ? "Compact rows" : "Comfortable rows"; };
    label();
    $("#rows").addEventListener("click", () => {
      root.dataset.rows = root.dataset.rows === "comfortable" ? "compact" : "comfortable";
      store.set("cf-sso-audit-rows", root.dataset.rows);
      label();
    });
  }

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
      this.missing = [];
      /** The rows that the page has beyond those drawn, once they were read; and those of them that match. */
      this.beyond = [];
      this.hits = [];
      this.compare = null;
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
          const parts = cell.querySelectorAll("bdi");
          values[names[0]] = textOf(parts.length === 1 ? parts[0] : cell);
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

    /** Takes the rows beyond those drawn, a line each. */
    addBeyond(columns, lines) {
      const first = this.body.rows.length;
      this.beyond = lines.map((line, i) => new Beyond(this, columns, line, first + i));
    }

    /** A row like those that are there. */
    draw(values) {
      const row = document.createElement("tr");
      const like = this.body.rows[0];
      this.columns.forEach((names, i) => {
        const cell = document.createElement(like.cells[i].tagName);
        cell.className = like.cells[i].className;
        if (cell.tagName === "TH") cell.scope = "row";
        for (const name of names) cell.append(drawn(name, values[name] ?? ""));
        row.append(cell);
      });
      if (this.details.length) {
        const list = document.createElement("dl");
        for (const name of this.details) {
          if (!values[name]) continue;
          const [term, value] = [document.createElement("dt"), document.createElement("dd")];
          const words = name.replace(/_utc$/, " (UTC)").replaceAll("_", " ");
          term.textContent = words[0].toUpperCase() + words.slice(1);
          value.append(drawn(name, values[name]));
          list.append(term, value);
        }
        const toggle = button("Details", null, "tog");
        toggle.setAttribute("aria-expanded", "false");
        $("th", row).append(toggle, list);
      }
      return row;
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
        const hits = [...this.records.filter((r) => r.hit), ...this.hits];
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
      this.compare = next === "none" ? null : { key, compare };
      this.order();
      this.body.append(...this.records.map((r) => r.row));
      this.show();
      say(next === "none" ? "Original order." : "Sorted by " + $("button", th).textContent + ", " + next + ".");
    }

    /** Puts what was read into the order that was asked for. */
    order() {
      for (const records of [this.records, this.hits]) {
        if (this.compare) for (const record of records) record.key = this.compare.key(record);
        records.sort((a, b) => (this.compare ? this.compare.compare(a, b) : 0) || a.index - b.index);
      }
    }

    /** Which of the wanted things this table cannot tell. */
    lacks(filter) {
      const needs = { severity: ["severity", "worst_severity"], rule: ["rule", "rules"], status: ["verification_status"], waived: ["waived", "status"], new: ["change"], account: ["account_id"], owner: ["owner", "account_id"] };
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
      const owner = (filter.owner || "").toLowerCase();
      const matches = (record) => {
        if (!words.every((word) => record.text.includes(word))) return false;
        if (onlyWords) return true;
        const v = record.values;
        return (!severities || !(has("severity") || has("worst_severity")) || severities.includes(v.severity ?? v.worst_severity)) &&
          (!filter.rule || (has("rule") ? v.rule === filter.rule : !has("rules") || v.rules.split(" ").includes(filter.rule))) &&
          (!filter.status || !has("verification_status") || v.verification_status === filter.status) &&
          (!filter.waived || !(has("waived") || has("status")) || (v.waived === "true" || v.status === "waived") === (filter.waived === "yes")) &&
          (!filter.new || !has("change") || v.change === "new") &&
          (!account || !has("account_id") || v.account_id.toLowerCase().includes(account) || v.account_name.toLowerCase().includes(account)) &&
          (!owner || !(has("owner") || has("account_id")) || (v.owner ?? ownerOf(v.account_id)).toLowerCase().includes(owner));
      };
      const onlyWords = Object.keys(filter).every((key) => key === "q");
      for (const record of this.records) record.hit = matches(record);
      this.drop();
      this.hits = this.filtered ? this.beyond.filter(matches) : [];
      if (this.compare) this.order();
      this.expanded = false;
      this.show();
    }

    /** Takes away what was drawn of the rows beyond. */
    drop() {
      for (const { row } of this.hits.filter((hit) => hit.isDrawn)) row.remove();
    }

    /** Makes the rows' visibility what filter and limit say. */
    show() {
      if (this.read) {
        let seen = 0;
        const all = this.hits.length && this.compare
          ? [...this.read, ...this.hits].sort((a, b) => this.compare.compare(a, b) || a.index - b.index)
          : [...this.read, ...this.hits];
        const most = this.expanded ? Infinity : LIMIT;
        let drawnBeyond = 0;
        for (const record of all) {
          const { hit } = record;
          if (hit) seen += 1;
          const isSeen = hit && seen <= most;
          if (record instanceof Beyond) {
            const draws = isSeen && drawnBeyond < MOST_BEYOND;
            if (draws) {
              drawnBeyond += 1;
              this.body.append(record.row);
            } else if (record.isDrawn) record.row.remove();
            continue;
          }
          record.row.hidden = !hit;
          record.row.classList.toggle("over", hit && !isSeen);
          // Rows from beyond stand between those that were there.
          if (this.hits.length && this.compare) this.body.append(record.row);
        }
        this.shown = seen;
        this.undrawn = this.expanded ? this.hits.length - drawnBeyond : 0;
        this.sayEmpty(seen === 0 && this.filtered);
      }
      this.clip();
      this.describe();
    }

    /** A table none of whose rows match says so. */
    sayEmpty(isEmpty) {
      this.table.parentElement.hidden = isEmpty;
      if (isEmpty && !this.empty) {
        this.empty = document.createElement("p");
        this.empty.className = "none";
        this.empty.textContent = "No rows in this table match.";
        this.table.parentElement.after(this.empty);
      }
      if (this.empty) this.empty.hidden = !isEmpty;
    }

    /** Until the rows have been read, the style sheet alone limits them. */
    clip() {
      this.table.classList.toggle("clip", !this.read && !this.expanded);
    }

    describe() {
      const total = this.read ? this.read.length + this.beyond.length : this.body.rows.length;
      const over = this.shown > LIMIT;
      this.count.textContent = this.filtered ? english.format(this.shown) + " of " + rows(total) + " match" : rows(total);
      if (over && !this.expanded) {
        const first = document.createElement("span");
        first.className = "screen";
        first.textContent = "; the first " + LIMIT + " are shown";
        this.count.append(first);
      }
      if (this.undrawn) this.count.append("; " + rows(this.undrawn) + " more match but are not drawn: narrow the search, or look in " + this.table.dataset.file);
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

  /** A row that the page has in its index, drawn when it is asked for. */
  class Beyond {
    constructor(grid, columns, line, index) {
      this.grid = grid;
      this.columns = columns;
      this.line = line;
      this.index = index;
      this.hit = true;
    }

    get text() {
      this.lower ??= this.line.toLowerCase();
      return this.lower;
    }

    get values() {
      if (!this.cells) {
        const parts = this.line.split("\t");
        this.cells = Object.fromEntries(this.columns.map((name, i) => [name, parts[i] ?? ""]));
      }
      return this.cells;
    }

    get isDrawn() { return Boolean(this.element); }

    get row() {
      this.element ??= this.grid.draw(this.values);
      return this.element;
    }
  }

  /** A value as the tables show it. */
  function drawn(name, value) {
    const text = document.createElement("bdi");
    if (/^(email_domain|txt_name)$/.test(name)) {
      text.className = "d";
      value.split(".").forEach((label, i) => {
        if (i > 0) text.append(document.createElement("wbr"), ".");
        text.append(label);
      });
    } else if (/_utc$/.test(name) && /^\d{4}-\d\d-\d\d /.test(value)) {
      const time = document.createElement("span");
      time.textContent = value.slice(10);
      text.append(value.slice(0, 10), time);
    } else {
      text.textContent = value;
    }
    const isSeverity = /severity$/.test(name);
    if (isSeverity || /^(verification_status|status|outcome|compliant|change)$/.test(name)) {
      const chip = document.createElement("i");
      if (!isSeverity) chip.dataset.v = value;
      else if (RANK[value]) chip.className = value;
      chip.append(text);
      return chip;
    }
    if (/^(account|connector|finding)_id$/.test(name)) {
      const code = document.createElement("code");
      code.append(text);
      return code;
    }
    return text;
  }

  /** Reads the rows that the tables have no room for. */
  let beyondIsRead = null;
  const unread = new Set();
  function readBeyond() {
    beyondIsRead ??= Promise.all($$("template.index").map(async (template) => {
      const grid = grids.find((g) => g.table.id === template.dataset.for);
      try {
        const binary = atob(template.content.textContent.trim());
        const bytes = new Uint8Array(binary.length);
        for (let i = 0; i < binary.length; i += 1) bytes[i] = binary.charCodeAt(i);
        const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
        const text = await new Response(stream).text();
        grid.addBeyond(template.dataset.columns.split(" "), text.split("\n").slice(0, -1));
      } catch {
        // An older browser has no such stream: then these rows are among those that were not searched.
        unread.add(grid);
      }
      template.remove();
    }));
    return beyondIsRead;
  }

  /** Who answers for an account, as the table of accounts says. */
  let owners = null;
  function ownerOf(account) {
    if (!owners) {
      const grid = grids.find((g) => g.table.id === "accounts-t");
      const known = grid ? [...grid.records, ...grid.beyond] : [];
      owners = new Map(known.map(({ values }) => [values.account_id, values.owner ?? ""]));
    }
    return owners.get(account) ?? "";
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
    for (const key of ["q", "account", "owner", "rule", "status", "waived", "new"]) {
      const value = (data.get(key) || "").trim();
      if (value) wanted[key] = value;
    }
    const severities = data.getAll("severity");
    if (severities.length) wanted.severity = severities.join(",");
    return wanted;
  }

  function writeForm() {
    const form = $("#filter");
    for (const key of ["q", "account", "owner", "rule", "status", "waived"]) form.elements[key].value = filter[key] || "";
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

  let turn = 0;
  function refresh() {
    turn += 1;
    const mine = turn;
    const isActive = Object.keys(filter).length > 0;
    if (isActive && !beyondIsRead && $("template.index")) {
      $("#matches").textContent = "Searching the rows not drawn yet…";
      readBeyond().then(() => { owners = null; if (turn === mine) refresh(); });
      address(anchorOf(location.hash));
      return;
    }
    for (const grid of grids) grid.apply(filter);
    const text = isActive ? found() : "";
    $("#matches").textContent = text;
    say(isActive ? text : "No filter.");
    address(anchorOf(location.hash));
  }

  /** What was found, what was not searched, and what a filter cannot tell. */
  function found() {
    const able = grids.filter((grid) => !grid.isMatrix && !grid.missing.length);
    const matching = able.filter((grid) => grid.shown > 0);
    const matches = matching.reduce((sum, grid) => sum + grid.shown, 0);
    const sentences = [rows(matches) + " match in " + matching.length + (matching.length === 1 ? " table." : " tables.")];
    const left = new Map();
    for (const { table, beyond } of grids) {
      const number = Number(table.dataset.left || 0) + (unread.size && !beyond.length ? Number(table.dataset.beyond || 0) : 0);
      if (number) left.set(table.dataset.file, Math.max(number, left.get(table.dataset.file) || 0));
    }
    if (left.size) sentences.push("Not searched: " + [...left].map(([file, number]) => rows(number) + " that are only in " + file).join(", ") + ".");
    const touched = new Map();
    for (const grid of grids.filter((g) => !g.isMatrix)) for (const key of grid.missing) {
      touched.set(key, [...(touched.get(key) || []), $("h2", grid.table.closest("section")).firstChild.textContent.trim()]);
    }
    const names = { new: "New only", severity: "Severity", rule: "Rule", status: "Verification", waived: "Waived", account: "Account", owner: "Owner" };
    for (const [key, tables] of touched) sentences.push(names[key] + " does not filter " + tables.join(", ") + ".");
    return sentences.join(" ");
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
      const known = ["q", "account", "owner", "severity", "rule", "status", "waived", "new"];
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
        const text = "That row is not on this page; see " + file + ".";
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
    let isListed = false;
    for (const field of [form.elements.account, form.elements.owner]) field.addEventListener("focus", () => {
      if (!isListed) listAccounts();
      isListed = true;
    });
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
      root.style.setProperty("--bar", sticks ? form.offsetHeight + "px" : "0px");
    };
    // Before anything is scrolled to.
    update();
    new ResizeObserver(update).observe(form);
  }

  function listAccounts() {
    const grid = grids.find((g) => g.table.id === "accounts-t");
    if (!grid) return;
    const names = new Set(grid.records.map(({ values }) => values.owner).filter(Boolean));
    $("#owner-list").append(...[...names].sort().map((name) => {
      const option = document.createElement("option");
      option.value = name;
      return option;
    }));
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

  /** What a line has no room for is in the title; an id can be copied. Made for the row that is pointed at, since there
   *  may be thousands. */
  function shortTexts() {
    document.addEventListener("pointerover", (event) => {
      const text = event.target.closest?.("tbody bdi");
      if (text && !text.title) text.title = textOf(text).slice(0, 1000);
      const row = event.target.closest?.("tbody tr");
      if (row) copyButtons(row);
    });
    document.addEventListener("focusin", (event) => {
      const row = event.target.closest?.("tbody tr");
      if (row) copyButtons(row);
    });
  }

  function copyButtons(row) {
    if (row.classList.contains("idcs") || !row.closest(".cards-ok")) return;
    row.classList.add("idcs");
    for (const id of $$(":is(td, th) > a:not(.a) > bdi, :is(td, th) > code > bdi", row)) {
      if (!id.textContent || id.parentElement.hash?.startsWith("#rule-")) continue;
      const text = textOf(id);
      id.title = text;
      const copyButton = button("⧉", () => copy(text, "Id"), "idc");
      copyButton.setAttribute("aria-label", "Copy the id " + shortened(text, 80));
      id.parentElement.after(copyButton);
    }
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
        rest.closest("tr")?.classList.toggle("tall", open);
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
    rowsSwitch();
    $("#print").addEventListener("click", () => window.print());
    $("#print-all").addEventListener("click", () => {
      root.classList.add("print-all");
      window.print();
    });
    window.addEventListener("afterprint", () => root.classList.remove("print-all"));
    grids = $$("table[data-file], table.matrix").map((table) => new Grid(table));
    rowButtons();
    shortTexts();
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
