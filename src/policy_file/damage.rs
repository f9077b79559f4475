//! A file that is not TOML throughout: what is wrong with it, and what can still be read.
//!
//! What the parser makes of a damaged file is not to be trusted: a bracket that is missing lets one table's keys fall to
//! another, and a word that stands alone ends the document. So everything in a damaged place is taken out, and the rest
//! is parsed again, until nothing is wrong with it.

use toml::de::{DeTable, Error};
use toml_parser::Source;
use toml_parser::lexer::{Token, TokenKind};

use super::lines::Lines;

/// So often a file is parsed. Each time brings it past one place behind which the parser loses its way.
const ROUNDS: usize = 8;

/// What TOML finds wrong, by the byte where it stands; and the text without what is damaged, where something is left
/// that is TOML. Spaces are in place of what was taken out, so that all else stays where it is.
pub(super) fn take_out(lines: &Lines<'_>) -> (Vec<(usize, String)>, Option<String>) {
    let mut damage = Damage {
        lines,
        statements: statements(lines),
        told: Vec::new(),
        told_on: vec![false; lines.count()],
        taken_out: vec![false; lines.count()],
    };
    for _ in 0..ROUNDS {
        let left = damage.left();
        let (_, errors) = DeTable::parse_recoverable(&left);
        if errors.is_empty() {
            return (damage.told, Some(left));
        }
        damage.assess(&errors);
    }
    let (_, errors) = DeTable::parse_recoverable(&damage.left());
    for error in &errors {
        damage.tell(start(error), error.message());
    }
    (damage.told, None)
}

fn start(error: &Error) -> usize {
    error.span().unwrap_or_default().start
}

struct Damage<'t> {
    lines: &'t Lines<'t>,
    /// In the order of the file; no two on one line.
    statements: Vec<Statement>,
    told: Vec<(usize, String)>,
    /// By line.
    told_on: Vec<bool>,
    /// By line.
    taken_out: Vec<bool>,
}

impl Damage<'_> {
    fn left(&self) -> String {
        let left = self.taken_out.iter().enumerate().map(|(line, taken_out)| {
            let text = self.lines.line(line);
            if *taken_out {
                " ".repeat(text.len())
            } else {
                text.to_owned()
            }
        });
        left.collect::<Vec<_>>().join("\n")
    }

    /// The rest of a line is mostly wrong for the same reason.
    fn tell(&mut self, offset: usize, message: &str) {
        let line = self.lines.of(offset);
        if !std::mem::replace(&mut self.told_on[line], true) {
            self.told.push((offset, message.to_owned()));
        }
    }

    /// Takes out what has errors, up to the first place behind which they may only follow from it.
    fn assess(&mut self, errors: &[Error]) {
        let mut errors: Vec<_> = errors.iter().collect();
        errors.sort_by_key(|error| start(error));
        let is_endless = |statement: &&Statement| {
            statement.kind == Kind::Endless && !self.taken_out[statement.first_line]
        };
        let endless = self.statements.iter().find(is_endless).copied();
        let mut trusted = endless.map_or(self.lines.count(), |statement| statement.first_line);
        for error in errors {
            let offset = start(error);
            let line = self.lines.of(offset);
            if line >= trusted {
                break;
            }
            self.tell(offset, error.message());
            if self.taken_out[line] {
                continue;
            }
            let statement = self.statement_on(line);
            let (first, last) = statement.map_or((line, line), |statement| {
                (statement.first_line, statement.last_line)
            });
            // A table's header, or what may have been one: nobody knows whose the keys behind it are.
            let is_header = statement.is_some_and(|statement| statement.kind != Kind::Key)
                || self.lines.rest_of_line(offset).contains('[');
            let end = if is_header {
                let end = self.next_header(last + 1);
                trusted = trusted.min(end);
                end
            } else {
                last + 1
            };
            self.taken_out[first..end].fill(true);
        }
        if let Some(statement) = endless
            && trusted == statement.first_line
        {
            self.tell(
                statement.end,
                "unclosed array or inline table, expected `]` or `}`",
            );
            self.taken_out[statement.first_line..=statement.last_line].fill(true);
        }
    }

    fn statement_on(&self, line: usize) -> Option<&Statement> {
        let begun = self
            .statements
            .partition_point(|statement| statement.first_line <= line);
        let statement = self.statements[..begun].last()?;
        (line <= statement.last_line).then_some(statement)
    }

    /// The line of the next table's header, or the one behind all.
    fn next_header(&self, line: usize) -> usize {
        let from = self
            .statements
            .partition_point(|statement| statement.first_line < line);
        let mut behind = self.statements[from..].iter();
        behind
            .find(|statement| statement.kind == Kind::Header)
            .map_or(self.lines.count(), |statement| statement.first_line)
    }
}

/// What is in some lines of its own: a table's header, or a key with its value.
#[derive(Debug, Clone, Copy)]
struct Statement {
    kind: Kind,
    first_line: usize,
    last_line: usize,
    /// The byte behind it.
    end: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Header,
    Key,
    /// A key whose list or table in braces does not end before the next statement.
    Endless,
    /// Neither header nor key.
    Stray,
}

/// Divides a text into statements.
fn statements(lines: &Lines<'_>) -> Vec<Statement> {
    let mut all = Vec::new();
    let mut current: Option<Statement> = None;
    // The brackets that are open in the value of the current statement.
    let mut open: Vec<TokenKind> = Vec::new();
    let mut begins_line = true;
    for token in Source::new(lines.text()).lex() {
        let kind = token.kind();
        if matches!(kind, TokenKind::Whitespace | TokenKind::Comment) {
            continue;
        }
        let is_cut_off = begins_line
            && !open.is_empty()
            && begins_statement(
                lines,
                &token,
                open.last() == Some(&TokenKind::LeftCurlyBracket),
            );
        begins_line = kind == TokenKind::Newline;
        if is_cut_off || kind == TokenKind::Eof || (begins_line && open.is_empty()) {
            all.extend(current.take().map(|statement| match open.is_empty() {
                true => statement,
                false => Statement {
                    kind: Kind::Endless,
                    ..statement
                },
            }));
            open.clear();
        }
        if matches!(kind, TokenKind::Newline | TokenKind::Eof) {
            continue;
        }
        let span = token.span();
        let line = lines.of(span.start());
        let statement = current.get_or_insert(Statement {
            kind: if kind == TokenKind::LeftSquareBracket {
                Kind::Header
            } else {
                Kind::Stray
            },
            first_line: line,
            last_line: line,
            end: span.end(),
        });
        statement.end = span.end();
        statement.last_line = lines.of(span.end().saturating_sub(1).max(span.start()));
        match kind {
            TokenKind::Equals if statement.kind == Kind::Stray => statement.kind = Kind::Key,
            TokenKind::LeftSquareBracket | TokenKind::LeftCurlyBracket
                if statement.kind == Kind::Key =>
            {
                open.push(kind)
            }
            TokenKind::RightSquareBracket | TokenKind::RightCurlyBracket => {
                open.pop();
            }
            _ => {}
        }
    }
    all
}

/// Whether a line within brackets looks like a header, or like a key that is none of a table in braces: then a bracket is
/// missing before it.
fn begins_statement(lines: &Lines<'_>, first: &Token, in_braces: bool) -> bool {
    let line = lines.rest_of_line(first.span().start());
    let is_name = |text: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        !text.is_empty() && text.chars().all(plain)
    };
    match line.strip_prefix('[') {
        Some(name) => name
            .trim_start_matches('[')
            .split_once(']')
            .is_some_and(|(name, _)| is_name(name)),
        None => {
            !in_braces
                && line
                    .split_once('=')
                    .is_some_and(|(key, _)| is_name(key.trim_end()))
        }
    }
}
