//! What a template can call. Each helper is described to designers in `templates/README.md`.
//!
//! No helper may have the name of a field of the view: handlebars would take `{{name}}` for the helper.

use std::cell::Cell;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use handlebars::{
    BlockContext, Context, Handlebars, Helper, HelperDef, HelperResult, JsonTruthy, Output,
    PathAndJson, RenderContext, RenderError, RenderErrorReason, Renderable, ScopedJson,
};
use serde_json::{Value, json};

use crate::sha256::Sha256;
use crate::text::{grouped, is_invisible};

/// Includes inside includes. Real pages have two; the limit ends a circle before the stack does.
const MAX_INCLUDE_DEPTH: usize = 16;
/// The narrowest a part that is not zero is drawn, as a share of the whole: still visible, and not misleading.
const LEAST_SHARE: f64 = 0.006;

/// Style and script as they are embedded.
#[derive(Default)]
pub(super) struct Assets {
    pub theme: String,
    pub style: String,
    pub script: String,
}

/// Adds every helper, and the escaping, to `registry`.
pub(super) fn register(registry: &mut Handlebars<'static>, assets: &Assets) {
    let style = format!("{}{}", assets.theme, assets.style);
    registry.register_escape_fn(escape);
    registry.register_helper(
        "csp",
        Box::new(Policy {
            style: style.clone(),
            script: assets.script.clone(),
        }),
    );
    registry.register_helper("page_style", Box::new(Style(style)));
    registry.register_helper(
        "page_script",
        Box::new(Fixed(format!("<script>{}</script>", assets.script))),
    );
    registry.register_helper("if", Box::new(Condition { wanted: true }));
    registry.register_helper("unless", Box::new(Condition { wanted: false }));
    registry.register_helper("include", Box::new(Include));
    registry.register_helper("num", Box::new(Writes(num)));
    registry.register_helper("pct", Box::new(Writes(pct)));
    registry.register_helper("plural", Box::new(Writes(plural)));
    registry.register_helper("cell", Box::new(Writes(cell)));
    registry.register_helper("bar", Box::new(Writes(bar)));
    registry.register_helper("mark", Box::new(Writes(mark)));
    registry.register_helper("goto", Box::new(Writes(goto)));
    registry.register_helper("host", Box::new(Writes(host)));
    registry.register_helper("prose", Box::new(Writes(prose)));
    registry.register_helper("day", Box::new(Writes(day)));
    registry.register_helper("who", Box::new(Writes(who)));
    registry.register_helper("percents", Box::new(Percents));
    registry.register_helper("ident", Box::new(Writes(ident)));
    registry.register_helper("series", Box::new(Series));
    registry.register_helper("most", Box::new(Most));
    registry.register_helper("stack", Box::new(Stack));
    registry.register_helper("spark", Box::new(Spark));
}

// ---------------------------------------------------------------- escaping and policy

/// Text made safe for element content and quoted attributes. What cannot be seen but changes how a text reads
/// (control characters, direction marks, zero-width spaces) is spelled out as `⟨U+202E⟩`.
fn escape(text: &str) -> String {
    let plain = |b: u8| {
        b.is_ascii() && !matches!(b, b'&' | b'<' | b'>' | b'"' | b'\'' | 0..=8 | 11..=31 | 127)
    };
    let Some(first) = text.bytes().position(|b| !plain(b)) else {
        return text.to_owned();
    };
    // A byte that is not plain starts a character: the ones inside a character come after its first.
    let (safe, rest) = text.split_at(first);
    let mut out = String::with_capacity(text.len() + 16);
    out.push_str(safe);
    for c in rest.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\t' | '\n' => out.push(c),
            c => push_seen(c, &mut out),
        }
    }
    out
}

fn push_seen(c: char, out: &mut String) {
    if is_spelled_out(c) {
        // Writing to a string cannot fail.
        let _ = write!(out, "⟨U+{:04X}⟩", u32::from(c));
    } else {
        out.push(c);
    }
}

/// Adds text to a line, with what cannot be seen spelled out as in the page; its line breaks and tabs become spaces.
pub(super) fn spelled_out(text: &str, line: &mut String) {
    if text.bytes().all(|b| (b' '..=b'~').contains(&b)) {
        line.push_str(text);
        return;
    }
    for c in text.chars() {
        match c {
            '\t' | '\n' | '\r' => line.push(' '),
            c => push_seen(c, line),
        }
    }
}

/// Characters that show nothing themselves and alter or hide what is around them. The joiners U+200C and U+200D
/// are left alone: Persian and emoji need them.
fn is_spelled_out(c: char) -> bool {
    match c {
        '\u{200c}' | '\u{200d}' => false,
        '\u{2028}' | '\u{2029}' => true,
        c => c.is_control() || is_invisible(c),
    }
}

/// The meta element that lets the page's own style and script through, by their hashes, and nothing else.
fn content_security_policy(style: &str, script: &str) -> String {
    let hash = |text: &str| BASE64.encode(Sha256::of(text.as_bytes()));
    format!(
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-{}'; \
         script-src 'sha256-{}'; img-src data:; base-uri 'none'; form-action 'none'\">",
        hash(style),
        hash(script),
    )
}

/// The page's style: what is the same in every page, and the foot of its printed pages, which names the run.
fn style_of(style: &str, ctx: &Context) -> String {
    let run = &ctx.data()["run"];
    let of = |name: &str| css_text(run[name].as_str().unwrap_or_default());
    format!(
        "{style}@page {{ @bottom-left {{ content: {} }} }}",
        css_text_of(&[&of("title"), " · run ", &of("id")])
    )
}

/// Text for the inside of a string in CSS: whatever is not a plain letter, digit or sign is written by its number.
fn css_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars().take(120) {
        if c.is_ascii_alphanumeric() || " .,:-_()".contains(c) {
            out.push(c);
        } else if !is_spelled_out(c) {
            // Writing to a string cannot fail.
            let _ = write!(out, "\\{:x} ", u32::from(c));
        }
    }
    out
}

fn css_text_of(parts: &[&str]) -> String {
    format!("\"{}\"", parts.concat())
}

/// `{{csp}}`.
struct Policy {
    style: String,
    script: String,
}

impl HelperDef for Policy {
    fn call<'reg: 'rc, 'rc>(
        &self,
        _: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        ctx: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let style = style_of(&self.style, ctx);
        Ok(out.write(&content_security_policy(&style, &self.script))?)
    }
}

/// `{{page_style}}`.
struct Style(String);

impl HelperDef for Style {
    fn call<'reg: 'rc, 'rc>(
        &self,
        _: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        ctx: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        out.write("<style>")?;
        out.write(&style_of(&self.0, ctx))?;
        Ok(out.write("</style>")?)
    }
}

/// Text that is the same in every page, written as it is.
struct Fixed(String);

impl HelperDef for Fixed {
    fn call<'reg: 'rc, 'rc>(
        &self,
        _: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        Ok(out.write(&self.0)?)
    }
}

// ---------------------------------------------------------------- flow

/// `if` and `unless` as usual, but a field that does not exist is an error here too, not silently false.
struct Condition {
    wanted: bool,
}

impl HelperDef for Condition {
    fn call<'reg: 'rc, 'rc>(
        &self,
        h: &Helper<'rc>,
        r: &'reg Handlebars<'reg>,
        ctx: &'rc Context,
        rc: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let holds = value(h, 0)?.is_truthy(false);
        let branch = if holds == self.wanted {
            h.template()
        } else {
            h.inverse()
        };
        branch.map_or(Ok(()), |template| template.render(r, ctx, rc, out))
    }
}

thread_local! {
    static INCLUDE_DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// `{{include "findings"}}`: renders `partials/findings.hbs` in the current scope. Handlebars' own `{{> findings}}`
/// copies the whole view first, which costs more than everything else on a large page.
struct Include;

impl HelperDef for Include {
    fn call<'reg: 'rc, 'rc>(
        &self,
        h: &Helper<'rc>,
        r: &'reg Handlebars<'reg>,
        ctx: &'rc Context,
        rc: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let name = format!("partials/{}.hbs", text(h, 0)?);
        let template = r
            .get_template(&name)
            .ok_or_else(|| other(format!("there is no {name}")))?;
        let depth = INCLUDE_DEPTH.get();
        if depth == MAX_INCLUDE_DEPTH {
            return Err(other("partials include each other in a loop".to_owned()));
        }
        let outer = rc.get_current_template_name();
        INCLUDE_DEPTH.set(depth + 1);
        let result = template.render(r, ctx, rc, out);
        INCLUDE_DEPTH.set(depth);
        rc.set_current_template_name(outer);
        result
    }
}

/// What a helper writes.
type Written = Result<String, RenderError>;

/// A helper that writes what a function makes of its parameters and of the page.
struct Writes(fn(&Helper<'_>, &Context) -> Written);

impl HelperDef for Writes {
    fn call<'reg: 'rc, 'rc>(
        &self,
        h: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        ctx: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        Ok(out.write(&(self.0)(h, ctx)?)?)
    }
}

// ---------------------------------------------------------------- numbers and words

/// `{{num 12345}}`: `12,345`.
fn num(h: &Helper<'_>, _: &Context) -> Written {
    Ok(grouped(count(h, 0)?))
}

/// `{{pct part whole}}`: `97%`. Only all is 100, only none is 0: what lies between is `<1` to `>99`.
fn pct(h: &Helper<'_>, _: &Context) -> Written {
    Ok(percentage(count(h, 0)?, count(h, 1)?))
}

/// `{{plural n "account" "accounts"}}`: `1 account`, `2 accounts`.
fn plural(h: &Helper<'_>, _: &Context) -> Written {
    let n = count(h, 0)?;
    let word = text(h, if n == 1 { 1 } else { 2 })?;
    Ok(format!("{} {}", grouped(n), escape(word)))
}

/// `{{prose text}}`: a sentence of ours, in which what stands between backticks is code.
fn prose(h: &Helper<'_>, _: &Context) -> Written {
    let mut out = String::new();
    for (i, part) in text(h, 0)?.split('`').enumerate() {
        match i % 2 {
            0 => out.push_str(&escape(part)),
            _ => out.push_str(&format!("<code>{}</code>", escape(part))),
        }
    }
    Ok(out)
}

/// `{{cell severity open waived}}`: a cell of the matrix, `<td class="high">3 (1)`, `<td class="waived">(1)` or `<td>`.
/// One helper for the whole cell, for there are as many cells as accounts times rules.
fn cell(h: &Helper<'_>, _: &Context) -> Written {
    let cell = match (count(h, 1)?, count(h, 2)?) {
        (0, 0) => "<td>".to_owned(),
        (0, waived) => format!("<td class=\"waived\">({waived})"),
        (open, 0) => format!("<td class=\"{}\">{open}", escape(text(h, 0)?)),
        (open, waived) => format!("<td class=\"{}\">{open} ({waived})", escape(text(h, 0)?)),
    };
    Ok(cell)
}

fn percentage(part: u64, whole: u64) -> String {
    if part == 0 || whole == 0 {
        return "0%".to_owned();
    }
    let (part, whole) = (u128::from(part), u128::from(whole));
    // Rounded; nothing that is there is none, and nothing that is missing is all.
    match (part * 200 + whole) / (2 * whole) {
        0 => "<1%".replace('<', "&lt;"),
        100 if part < whole => ">99%".replace('>', "&gt;"),
        percent => format!("{percent}%"),
    }
}

/// A day, and the time behind it where there is one: `2026-05-27<span> 10:15:00</span>`.
fn day(h: &Helper<'_>, _: &Context) -> Written {
    let time = text(h, 0)?;
    let is_ours = time.len() == 19
        && time
            .bytes()
            .all(|b| b.is_ascii_digit() || b"-: ".contains(&b));
    Ok(if is_ours {
        let (day, time) = time.split_at(10);
        format!("<bdi>{day}<span>{time}</span></bdi>")
    } else {
        format!("<bdi>{}</bdi>", escape(time))
    })
}

/// The longest label that a domain has.
const LABEL: usize = 63;

/// `{{host email_domain}}`: a domain that may break before its dots, and not inside a label.
fn host(h: &Helper<'_>, _: &Context) -> Written {
    let domain = text(h, 0)?;
    let is_domain = domain.contains('.')
        && !domain.contains(char::is_whitespace)
        && domain.split('.').all(|label| label.len() <= LABEL);
    Ok(if is_domain {
        format!(
            "<bdi class=\"d\">{}</bdi>",
            escape(domain).replace('.', "<wbr>.")
        )
    } else {
        format!("<bdi>{}</bdi>", escape(domain))
    })
}

// ---------------------------------------------------------------- anchors

/// `{{who account_name account_id}}`: an account's name and id. Where the run's region has a dashboard, the name leads to
/// the account's row and the id to the account in the dashboard; else the id leads to the row.
fn who(h: &Helper<'_>, ctx: &Context) -> Written {
    let (name, id) = (text(h, 0)?, text(h, 1)?);
    let mut anchor = String::from("account-");
    push_slug(&mut anchor, id);
    let dashboard = ctx.data()["run"]["dashboard"].as_str().unwrap_or_default();
    let is_id = id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit());
    let (shown_name, shown_id) = (escape(name), escape(id));
    Ok(if id.is_empty() {
        format!("<bdi>{shown_name}</bdi>{}", no_id("account"))
    } else if dashboard.is_empty() || !is_id || name.is_empty() {
        format!("<bdi>{shown_name}</bdi><a href=\"#{anchor}\"><bdi>{shown_id}</bdi></a>")
    } else {
        format!(
            "<a class=\"a\" href=\"#{anchor}\"><bdi>{shown_name}</bdi></a><a href=\"{dashboard}{id}\"><bdi>{shown_id}</bdi></a>"
        )
    })
}

/// `{{mark "connector" account_id connector_id}}`: ` id="connector-…"`, or nothing where the last part is empty.
fn mark(h: &Helper<'_>, _: &Context) -> Written {
    let (anchor, last) = anchor_of(h)?;
    if last.is_empty() {
        return Ok(String::new());
    }
    Ok(format!(" id=\"{anchor}\""))
}

/// `{{goto "connector" account_id connector_id}}`: a link to that row which shows the last part; where that is
/// empty, `no connector id` beside an empty `<bdi>`, so that a cell always has the same number of values.
fn goto(h: &Helper<'_>, _: &Context) -> Written {
    let (anchor, last) = anchor_of(h)?;
    if last.is_empty() {
        return Ok(no_id(text(h, 0)?));
    }
    Ok(format!(
        "<a href=\"#{anchor}\"><bdi>{}</bdi></a>",
        escape(last)
    ))
}

/// `{{ident "connector" connector_id}}`: the id without a link, for tables where a link's bytes would not pay.
fn ident(h: &Helper<'_>, _: &Context) -> Written {
    let (kind, id) = (text(h, 0)?, text(h, 1)?);
    Ok(if id.is_empty() {
        no_id(kind)
    } else {
        format!("<code><bdi>{}</bdi></code>", escape(id))
    })
}

/// What stands where an id is empty. The empty value keeps its place among those of the cell.
fn no_id(kind: &str) -> String {
    format!("<bdi></bdi><small>no {} id</small>", escape(kind))
}

/// The anchor that the parameters spell, and the last of them.
fn anchor_of<'a>(h: &'a Helper<'_>) -> Result<(String, &'a str), RenderError> {
    let mut anchor = String::with_capacity(80);
    for i in 0..h.params().len() {
        if i > 0 {
            anchor.push('-');
        }
        push_slug(&mut anchor, text(h, i)?);
    }
    let last = text(h, h.params().len().saturating_sub(1))?;
    Ok((anchor, last))
}

/// Ids are somebody else's text. One that is harmless in a URL stays as it is; of any other, the harmless
/// beginning stays, and a piece of its hash keeps it apart from its like.
fn push_slug(anchor: &mut String, part: &str) {
    let harmless = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if part.len() <= 64 && part.bytes().all(harmless) {
        anchor.push_str(part);
        return;
    }
    anchor.extend(
        part.bytes()
            .take(24)
            .map(|b| if harmless(b) { char::from(b) } else { '_' }),
    );
    anchor.push('-');
    for byte in Sha256::of(part.as_bytes()).iter().take(4) {
        // Writing to a string cannot fail.
        let _ = write!(anchor, "{byte:02x}");
    }
}

// ---------------------------------------------------------------- pictures

/// `{{bar part most 100}}`: how long the bar of `part` is where that of `most` is 100 long.
fn bar(h: &Helper<'_>, _: &Context) -> Written {
    let (part, most, length) = (number(h, 0)?, number(h, 1)?, number(h, 2)?);
    let share = if part <= 0.0 || most <= 0.0 {
        0.0
    } else {
        (part / most).clamp(LEAST_SHARE, 1.0)
    };
    Ok(short(share * length))
}

/// `(series "enabled" 12 "disabled" 3)`: `[{label, value}]`, to draw from fields that are not in a list.
struct Series;

impl HelperDef for Series {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        h: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let mut items = Vec::with_capacity(h.params().len() / 2);
        for i in (0..h.params().len()).step_by(2) {
            items.push(json!({ "label": text(h, i)?, "value": count(h, i + 1)? }));
        }
        Ok(ScopedJson::Derived(Value::Array(items)))
    }
}

/// `(percents list "count")`: the list with a field `percent` for each, whole numbers that add up to 100. What is not
/// none is never shown as 0, nor what is not all as 100.
struct Percents;

impl HelperDef for Percents {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        h: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let items = list(h)?;
        let percents = percents(&field_values(items, text(h, 1)?)?);
        let with = |(item, percent): (&Value, u64)| {
            let mut item = item.clone();
            item["percent"] = format!("{percent}%").into();
            item
        };
        let items = items.iter().zip(percents).map(with).collect();
        Ok(ScopedJson::Derived(Value::Array(items)))
    }
}

/// Whole percentages that add up to 100, each as near to its share as that allows.
fn percents(values: &[f64]) -> Vec<u64> {
    let sum: f64 = values.iter().sum();
    if sum <= 0.0 {
        return vec![0; values.len()];
    }
    let exact: Vec<f64> = values.iter().map(|value| value / sum * 100.0).collect();
    let down = |exact: &f64| {
        if *exact > 0.0 {
            (exact.floor() as u64).max(1)
        } else {
            0
        }
    };
    let mut percents: Vec<u64> = exact.iter().map(down).collect();
    loop {
        let total: u64 = percents.iter().sum();
        let lack = |&position: &usize| exact[position] - percents[position] as f64;
        let most = |one: &usize, other: &usize| lack(one).total_cmp(&lack(other));
        let positions = 0..values.len();
        let change = match total.cmp(&100) {
            std::cmp::Ordering::Equal => return percents,
            std::cmp::Ordering::Less => positions.max_by(most).map(|position| (position, 1)),
            std::cmp::Ordering::Greater => {
                let above_one = positions.filter(|&position| percents[position] > 1);
                above_one.min_by(most).map(|position| (position, -1))
            }
        };
        match change {
            Some((position, by)) => {
                percents[position] = percents[position].saturating_add_signed(by)
            }
            // More than a hundred parts: there is no such sum.
            None => return percents,
        }
    }
}

/// `(most list "open")`: the greatest value of that field in the list; 0 in an empty one.
struct Most;

impl HelperDef for Most {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        h: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let greatest = field_values(list(h)?, text(h, 1)?)?
            .into_iter()
            .fold(0.0, f64::max);
        Ok(ScopedJson::Derived(json!(greatest)))
    }
}

/// `{{#stack list by="count" width=100}}`: a bar cut into parts. The block is rendered for each item, which is its
/// scope, with `@at` (where its part begins) and `@wide`.
struct Stack;

impl HelperDef for Stack {
    fn call<'reg: 'rc, 'rc>(
        &self,
        h: &Helper<'rc>,
        r: &'reg Handlebars<'reg>,
        ctx: &'rc Context,
        rc: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let items = list(h)?;
        let by = h
            .hash_get("by")
            .and_then(|by| by.value().as_str())
            .unwrap_or("value");
        let width = hash_number(h, "width", 100.0);
        let parts = shares(&field_values(items, by)?);
        let template = h
            .template()
            .ok_or(RenderErrorReason::BlockContentRequired)?;
        let mut at = 0.0;
        for (i, (item, part)) in items.iter().zip(parts).enumerate() {
            let mut block = scope(h.param(0), i, item);
            block.set_local_var("at", Value::from(short(at * width)));
            block.set_local_var("wide", Value::from(short(part * width)));
            at += part;
            rc.push_block(block);
            let result = template.render(r, ctx, rc, out);
            rc.pop_block();
            result?;
        }
        Ok(())
    }
}

/// `{{#spark list by="open" joined="whole" width=200 height=40}}`: lines through the values, from zero up. Values whose
/// field `joined` is false stand apart: they are not held against the others. The block is rendered once, with `@lines`
/// (the points of each polyline), `@dots` and `@gaps` (the places of values that stand alone, and of those that are not
/// joined), `@x` and `@y` (the last one's place), `@from` and `@to` (the first and the last value), `@low` and `@high`
/// (of the joined ones).
struct Spark;

impl HelperDef for Spark {
    fn call<'reg: 'rc, 'rc>(
        &self,
        h: &Helper<'rc>,
        r: &'reg Handlebars<'reg>,
        ctx: &'rc Context,
        rc: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let by = h
            .hash_get("by")
            .and_then(|by| by.value().as_str())
            .unwrap_or("value");
        let values = field_values(list(h)?, by)?;
        let joined = match h
            .hash_get("joined")
            .and_then(|field| field.value().as_str())
        {
            Some(field) => field_flags(list(h)?, field)?,
            None => vec![true; values.len()],
        };
        let (Some(from), Some(to)) = (values.first(), values.last()) else {
            return Ok(());
        };
        let highest = values.iter().copied().fold(0.0, f64::max);
        let points = polyline(
            &values,
            highest,
            hash_number(h, "width", 200.0),
            hash_number(h, "height", 40.0),
        );
        let (x, y) = points.last().copied().unwrap_or_default();
        let place = |(x, y): (f64, f64)| json!({ "x": short(x), "y": short(y) });
        let (mut lines, mut dots, mut gaps) = (Vec::new(), Vec::new(), Vec::new());
        let runs: Vec<_> = points.iter().copied().zip(joined.iter().copied()).collect();
        for run in runs.chunk_by(|one, next| one.1 && next.1) {
            match run {
                [(point, true)] => dots.push(place(*point)),
                [(point, false)] => gaps.push(place(*point)),
                several => {
                    let point =
                        |((x, y), _): &((f64, f64), bool)| format!("{},{}", short(*x), short(*y));
                    let line: Vec<_> = several.iter().map(point).collect();
                    lines.push(Value::from(line.join(" ")));
                }
            }
        }
        let held: Vec<f64> = values
            .iter()
            .zip(&joined)
            .filter(|(_, joined)| **joined)
            .map(|(value, _)| *value)
            .collect();
        let held = if held.is_empty() { &values } else { &held };
        let low = held.iter().copied().fold(f64::INFINITY, f64::min);
        let high = held.iter().copied().fold(0.0, f64::max);

        let mut block = rc.block().cloned().unwrap_or_default();
        for (name, list) in [("lines", lines), ("dots", dots), ("gaps", gaps)] {
            block.set_local_var(name, Value::from(list));
        }
        for (name, value) in [("x", x), ("y", y)] {
            block.set_local_var(name, Value::from(short(value)));
        }
        for (name, value) in [("from", *from), ("to", *to), ("low", low), ("high", high)] {
            // Counts, which came from JSON as whole numbers.
            block.set_local_var(name, Value::from(grouped(value as u64)));
        }
        let template = h
            .template()
            .ok_or(RenderErrorReason::BlockContentRequired)?;
        rc.push_block(block);
        let result = template.render(r, ctx, rc, out);
        rc.pop_block();
        result
    }
}

/// Each value's share of their sum. One that is not zero gets at least [`LEAST_SHARE`], taken from the others.
fn shares(values: &[f64]) -> Vec<f64> {
    let sum: f64 = values.iter().sum();
    if sum <= 0.0 {
        return vec![0.0; values.len()];
    }
    let raised: Vec<f64> = values
        .iter()
        .map(|v| {
            if *v > 0.0 {
                (v / sum).max(LEAST_SHARE)
            } else {
                0.0
            }
        })
        .collect();
    let excess: f64 = raised.iter().sum();
    raised.iter().map(|share| share / excess).collect()
}

/// Points from left to right, zero at the bottom and the highest value at the top, with room for the line's own width.
fn polyline(values: &[f64], highest: f64, width: f64, height: f64) -> Vec<(f64, f64)> {
    const MARGIN: f64 = 4.0;
    let steps = values.len().saturating_sub(1).max(1) as f64;
    let place = |(i, value): (usize, &f64)| {
        let level = if highest > 0.0 { value / highest } else { 0.0 };
        (
            MARGIN + (width - 2.0 * MARGIN) * i as f64 / steps,
            height - MARGIN - (height - 2.0 * MARGIN) * level,
        )
    };
    values.iter().enumerate().map(place).collect()
}

/// A length with at most one decimal.
fn short(length: f64) -> String {
    let text = format!("{length:.1}");
    text.strip_suffix(".0")
        .map_or_else(|| text.clone(), str::to_owned)
}

/// The scope of a list's item: by its path where the list is in the view, by value where a helper made it.
fn scope<'rc>(list: Option<&PathAndJson<'rc>>, index: usize, item: &Value) -> BlockContext<'rc> {
    let mut block = BlockContext::new();
    match list.and_then(PathAndJson::context_path) {
        Some(path) => {
            block.base_path_mut().clone_from(path);
            block.base_path_mut().push(index.to_string());
        }
        None => block.set_base_value(item.clone()),
    }
    block
}

// ---------------------------------------------------------------- parameters

fn other(message: String) -> RenderError {
    RenderErrorReason::Other(message).into()
}

/// Parameter `i`, which must be there, and name a field that exists.
fn value<'a>(h: &'a Helper<'_>, i: usize) -> Result<&'a Value, RenderError> {
    let param = h
        .param(i)
        .ok_or_else(|| other(format!("helper `{}` needs {} values", h.name(), i + 1)))?;
    if param.is_value_missing() {
        return Err(RenderErrorReason::MissingVariable(param.relative_path().cloned()).into());
    }
    Ok(param.value())
}

fn wrong(h: &Helper<'_>, i: usize, expected: &str) -> RenderError {
    other(format!(
        "helper `{}` takes {expected} as value {}",
        h.name(),
        i + 1
    ))
}

fn text<'a>(h: &'a Helper<'_>, i: usize) -> Result<&'a str, RenderError> {
    value(h, i)?.as_str().ok_or_else(|| wrong(h, i, "a text"))
}

fn count(h: &Helper<'_>, i: usize) -> Result<u64, RenderError> {
    value(h, i)?
        .as_u64()
        .ok_or_else(|| wrong(h, i, "a whole number"))
}

fn number(h: &Helper<'_>, i: usize) -> Result<f64, RenderError> {
    value(h, i)?.as_f64().ok_or_else(|| wrong(h, i, "a number"))
}

fn list<'a>(h: &'a Helper<'_>) -> Result<&'a Vec<Value>, RenderError> {
    value(h, 0)?.as_array().ok_or_else(|| wrong(h, 0, "a list"))
}

fn hash_number(h: &Helper<'_>, name: &str, default: f64) -> f64 {
    h.hash_get(name)
        .and_then(|v| v.value().as_f64())
        .unwrap_or(default)
}

fn field_values(items: &[Value], field: &str) -> Result<Vec<f64>, RenderError> {
    items
        .iter()
        .map(|item| {
            item.get(field)
                .and_then(Value::as_f64)
                .ok_or_else(|| RenderErrorReason::MissingVariable(Some(field.to_owned())).into())
        })
        .collect()
}

fn field_flags(items: &[Value], field: &str) -> Result<Vec<bool>, RenderError> {
    items
        .iter()
        .map(|item| {
            item.get(field)
                .and_then(Value::as_bool)
                .ok_or_else(|| RenderErrorReason::MissingVariable(Some(field.to_owned())).into())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a template of one line makes of `view`.
    fn rendered(template: &str, view: &Value) -> Result<String, String> {
        let mut registry = Handlebars::new();
        registry.set_strict_mode(true);
        register(&mut registry, &Assets::default());
        registry
            .render_template(template, view)
            .map_err(|e| e.reason().to_string())
    }

    #[test]
    fn the_policy_hashes_what_is_embedded() {
        let view = json!({ "run": { "title": "A \"b\" </style>{}", "id": "20261121T101500Z" } });
        let style = rendered("{{page_style}}", &view).unwrap();
        let style = style
            .strip_prefix("<style>")
            .and_then(|rest| rest.strip_suffix("</style>"));
        let style = style.unwrap();
        assert!(
            style.ends_with(
                "content: \"A \\22 b\\22  \\3c \\2f style\\3e \\7b \\7d  · run 20261121T101500Z\" } }"
            ),
            "{style}"
        );
        let hash = BASE64.encode(Sha256::of(style.as_bytes()));
        // Of the empty text, as everyone knows it.
        let empty = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        let policy = rendered("{{csp}}", &view).unwrap();
        assert!(
            policy.contains(&format!(
                "style-src 'sha256-{hash}'; script-src 'sha256-{empty}';"
            )),
            "{policy}"
        );
        assert!(policy.contains("default-src 'none'"));
        assert_eq!(
            rendered("{{page_script}}", &view).unwrap(),
            "<script></script>"
        );
    }

    #[test]
    fn domains_break_before_dots_and_times_after_their_day() {
        let long = "x".repeat(64);
        let view = json!({ "d": "a-b.example", "t": "2026-05-27 10:15:00", "long": format!("{long}.example"), "odd": "<b> .", "none": "" });
        for (template, expected) in [
            (
                "{{host d}}{{host none}}",
                "<bdi class=\"d\">a-b<wbr>.example</bdi><bdi></bdi>".to_owned(),
            ),
            ("{{host long}}", format!("<bdi>{long}.example</bdi>")),
            (
                "{{host odd}}{{day odd}}",
                "<bdi>&lt;b&gt; .</bdi>".repeat(2),
            ),
            (
                "{{day t}}{{day none}}",
                "<bdi>2026-05-27<span> 10:15:00</span></bdi><bdi></bdi>".to_owned(),
            ),
        ] {
            assert_eq!(rendered(template, &view).unwrap(), expected);
        }
    }

    #[test]
    fn an_account_leads_to_its_row_and_to_the_dashboard_of_its_region() {
        let id = "023e105f4ecef8ad9ca31a8372d0c353";
        let of = |dashboard: &str, name: &str, id: &str| {
            let view = json!({ "run": { "dashboard": dashboard }, "name": name, "id": id });
            rendered("{{who name id}}", &view).unwrap()
        };
        assert_eq!(
            of("https://dash.cloudflare.com/", "<A>", id),
            format!(
                "<a class=\"a\" href=\"#account-{id}\"><bdi>&lt;A&gt;</bdi></a><a href=\"https://dash.cloudflare.com/{id}\"><bdi>{id}</bdi></a>"
            )
        );
        let row = |name: &str, id: &str| {
            format!("<bdi>{name}</bdi><a href=\"#account-{id}\"><bdi>{id}</bdi></a>")
        };
        assert_eq!(of("", "A", id), row("A", id));
        assert_eq!(
            of("https://dash.cloudflare.com/", "A", "no-id"),
            row("A", "no-id")
        );
    }

    #[test]
    fn percentages_add_up() {
        assert_eq!(percents(&[1.0, 1.0, 1.0]), [33, 33, 34]);
        assert_eq!(percents(&[999_999.0, 1.0, 0.0]), [99, 1, 0]);
        assert_eq!(percents(&[0.0, 0.0]), [0, 0]);
        assert_eq!(percents(&[7.0]), [100]);
        assert_eq!(
            percents(&[56.0, 5.0, 2.0, 1.0, 1.0]).iter().sum::<u64>(),
            100
        );
    }

    #[test]
    fn escaping_leaves_letters_and_shows_the_invisible() {
        assert_eq!(escape("plain = `text`"), "plain = `text`");
        assert_eq!(
            escape("<a href=\"x\">&'"),
            "&lt;a href=&quot;x&quot;&gt;&amp;&#39;"
        );
        assert_eq!(
            escape("Žluťoučký קָפֶה 👩‍💻 می‌خواهم"),
            "Žluťoučký קָפֶה 👩‍💻 می‌خواهم"
        );
        assert_eq!(
            escape("gro\u{202e}moc\u{2066}\u{0}\u{7f}\u{9b}\u{feff}"),
            "gro⟨U+202E⟩moc⟨U+2066⟩⟨U+0000⟩⟨U+007F⟩⟨U+009B⟩⟨U+FEFF⟩"
        );
        assert_eq!(escape("two\nlines\tand tab"), "two\nlines\tand tab");
    }

    #[test]
    fn numbers_and_words() {
        let view =
            json!({ "n": 1_234_567, "one": 1, "zero": 0, "all": 200, "most": 199, "s": "high" });
        for (template, expected) in [
            ("{{num n}} {{num zero}}", "1,234,567 0"),
            (
                "{{plural one \"row\" \"rows\"}}, {{plural n \"row\" \"rows\"}}",
                "1 row, 1,234,567 rows",
            ),
            (
                "{{pct most all}} {{pct all all}} {{pct zero all}} {{pct one n}} {{pct one zero}}",
                "&gt;99% 100% 0% &lt;1% 0%",
            ),
            (
                "{{cell s one zero}}{{cell null zero one}}{{cell s one all}}{{cell \"\" zero zero}}",
                "<td class=\"high\">1<td class=\"waived\">(1)<td class=\"high\">1 (200)<td>",
            ),
        ] {
            assert_eq!(rendered(template, &view).unwrap(), expected);
        }
    }

    #[test]
    fn anchors_are_harmless_stable_and_apart() {
        let anchor = |id: &str| rendered("{{mark \"account\" id}}", &json!({ "id": id })).unwrap();
        assert_eq!(
            anchor("023e105f4ecef8ad9ca31a8372d0c353"),
            " id=\"account-023e105f4ecef8ad9ca31a8372d0c353\""
        );
        assert_eq!(anchor(""), "");
        let (hostile, other) = (anchor("\"><script>"), anchor("\">_script_"));
        assert_ne!(hostile, other);
        for anchor in [
            hostile,
            other,
            anchor(&"x".repeat(10_000)),
            anchor("ünïcode \u{202e}"),
        ] {
            let inner = anchor
                .strip_prefix(" id=\"")
                .unwrap()
                .strip_suffix('"')
                .unwrap();
            assert!(
                inner.len() < 80
                    && inner
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)),
                "{inner}"
            );
        }
        assert_eq!(
            rendered(
                "{{goto \"connector\" a c}}{{goto \"connector\" a none}}{{ident \"connector\" c}}{{ident \"connector\" none}}",
                &json!({ "a": "x", "c": "<b>", "none": "" })
            )
            .unwrap(),
            format!(
                "<a href=\"#connector-x-_b_-{}\"><bdi>&lt;b&gt;</bdi></a><bdi></bdi><small>no connector id</small><code><bdi>&lt;b&gt;</bdi></code><bdi></bdi><small>no connector id</small>",
                "507ca5a2"
            ),
        );
    }

    #[test]
    fn pictures_add_up() {
        let view = json!({ "list": [{"n": 1, "s": "a"}, {"n": 0, "s": "b"}, {"n": 3, "s": "c"}], "zero": 0,
            "nights": [{"n": 3, "whole": true}, {"n": 2, "whole": true}, {"n": 0, "whole": false}, {"n": 3, "whole": true}] });
        for (template, expected) in [
            (
                "{{#stack list by=\"n\" width=200}}{{s}}:{{@at}}+{{@wide}} {{/stack}}",
                "a:0+50 b:50+0 c:50+150 ",
            ),
            (
                "{{#stack (series \"on\" 1 \"off\" 1)}}{{label}}:{{value}}:{{@at}}+{{@wide}} {{/stack}}",
                "on:1:0+50 off:1:50+50 ",
            ),
            (
                "{{#stack (series \"on\" 0 \"off\" 0)}}{{@wide}} {{/stack}}",
                "0 0 ",
            ),
            (
                "{{bar 1 (most list \"n\") 90}} {{bar 0 3 90}} {{bar 1 0 90}} {{bar 1 100000 1000}}",
                "30 0 0 6",
            ),
            (
                "{{#spark list by=\"n\" width=108 height=38}}{{#each @lines}}{{this}}{{/each}} {{@x}},{{@y}} {{@from}} {{@to}} {{@low}} {{@high}}{{/spark}}",
                "4,24 54,34 104,4 104,4 1 3 0 3",
            ),
            (
                "{{#spark nights by=\"n\" joined=\"whole\" width=108 height=38}}{{#each @lines}}[{{this}}]{{/each}}{{#each @dots}} dot {{x}},{{y}}{{/each}}{{#each @gaps}} gap {{x}},{{y}}{{/each}} {{@to}} {{@low}} {{@high}}{{/spark}}",
                "[4,4 37.3,14] dot 104,4 gap 70.7,34 3 2 3",
            ),
            (
                "{{#each list}}{{#spark @root.list by=\"n\"}}{{s}}{{/spark}}{{/each}}",
                "abc",
            ),
        ] {
            assert_eq!(rendered(template, &view).unwrap(), expected, "{template}");
        }
    }

    #[test]
    fn shares_stay_visible_and_whole() {
        let parts = shares(&[1.0, 1_000_000.0, 0.0]);
        assert!(parts[0] > 0.005 && parts[2] == 0.0);
        assert!((parts.iter().sum::<f64>() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn what_is_not_there_is_said_so() {
        for (template, expected) in [
            (
                "{{num nope}}",
                "Failed to access variable in strict mode Some(\"nope\")",
            ),
            (
                "{{#if nope}}{{/if}}",
                "Failed to access variable in strict mode Some(\"nope\")",
            ),
            (
                "{{#unless nope}}{{/unless}}",
                "Failed to access variable in strict mode Some(\"nope\")",
            ),
            (
                "{{num word}}",
                "helper `num` takes a whole number as value 1",
            ),
            ("{{pct one}}", "helper `pct` needs 2 values"),
            (
                "{{#stack word}}{{/stack}}",
                "helper `stack` takes a list as value 1",
            ),
            ("{{include \"nope\"}}", "there is no partials/nope.hbs"),
        ] {
            assert_eq!(
                rendered(template, &json!({ "word": "x", "one": 1 })).unwrap_err(),
                expected,
                "{template}"
            );
        }
    }

    #[test]
    fn no_helper_hides_a_field_of_the_view() {
        let mut registry = Handlebars::new();
        register(&mut registry, &Assets::default());
        let mut fields = Vec::new();
        names(
            &serde_json::from_str(include_str!("../../../templates/sample-view.json")).unwrap(),
            &mut fields,
        );
        assert!(fields.len() > 100);
        for field in fields {
            assert!(
                registry
                    .render_template(
                        &format!("{{{{{field}}}}}"),
                        &json!({ field.as_str(): "seen" })
                    )
                    .unwrap()
                    == "seen",
                "{field}"
            );
        }
    }

    fn names(value: &Value, into: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                for (name, field) in fields {
                    into.push(name.clone());
                    names(field, into);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| names(item, into)),
            _ => {}
        }
    }
}
