//! Which accounts a run asks for: named on the command line, in files, or listed by the API.

use std::collections::HashMap;
use std::fmt;
use std::io::Read;
use std::path::Path;

use csv::StringRecord;
use serde::{Deserialize, Serialize};

use crate::text::{count, for_terminal, shortened};
use crate::token_form::{id_may_be_token, looks_like_token};

/// One account that a run was asked to read, valid or not.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AskedAccount {
    /// 32 hex digits in lower case where valid, else the text as it was given.
    pub id: String,
    /// The name, where the source gave one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Owner of the account, where the source says so.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub owner: String,
    /// The *name* of the environment variable that holds this account's token; never the token.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub token_env: String,
    /// Why the account cannot be asked for, where its id is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub problem: String,
    /// What named it: positions in the run's list of sources.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<u32>,
}

/// Something that named accounts: the command line, a file, a list that the API answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// What it is, in words.
    pub name: String,
    /// How many accounts it named.
    pub accounts: usize,
    /// By what it is recognised in later runs; absent where it cannot be, as with the command line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Whether it named all that it has: a list of the API's may have come short.
    pub whole: bool,
}

/// The most accounts of a run: Cloudflare's largest organizations have 20,000, and a large provider has 200,000.
pub const MOST_ACCOUNTS: usize = 250_000;
/// The largest accounts file, in bytes.
pub const LARGEST_FILE: usize = 64 * 1024 * 1024;
/// The longest line of one, in bytes: far more than a cell of a spreadsheet holds, and far less than a file that has no
/// lines at all.
const LONGEST_LINE: usize = 1024 * 1024;
/// The longest name of an account that is kept, in characters: the API documents 100.
pub const LONGEST_NAME: usize = 200;

/// What the key of a list that the API answers to a token begins with.
const LIST: &str = "list:";
/// What the key of an organization's list begins with.
const ORGANIZATION: &str = "organization:";

impl Source {
    /// The command line, or standard input: what is named there today says nothing of what is not.
    pub fn unrecognisable(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            accounts: 0,
            key: None,
            whole: true,
        }
    }

    /// A file, recognised by its full path.
    pub fn file(path: &Path) -> Self {
        let full = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        Self {
            key: Some(format!("file:{}", full.display())),
            ..Self::unrecognisable(&for_terminal(&path.display().to_string()))
        }
    }

    /// All accounts that a token can list; another token has another list.
    pub fn list(name: &str, token_fingerprint: &str) -> Self {
        Self {
            key: Some(format!("{LIST}{token_fingerprint}")),
            ..Self::unrecognisable(name)
        }
    }

    /// The accounts of an organization and of those under it.
    pub fn organization(id: &str) -> Self {
        Self {
            key: Some(format!("{ORGANIZATION}{id}")),
            ..Self::unrecognisable(&format!("the accounts of organization {id}"))
        }
    }

    /// Whether it is the accounts of an organization.
    pub fn is_organization(&self) -> bool {
        let key = self.key.as_ref();
        key.is_some_and(|key| key.starts_with(ORGANIZATION))
    }

    /// Whether the API listed it, page by page.
    pub fn is_listed(&self) -> bool {
        let listed = |key: &String| key.starts_with(LIST) || key.starts_with(ORGANIZATION);
        self.key.as_ref().is_some_and(listed)
    }

    /// What it is and how many accounts it named, in words.
    pub fn words(&self) -> String {
        format!("{} ({})", self.name, count(self.accounts, "account"))
    }
}

/// Whether a key is that of a list that the API answers to a token.
pub fn is_list(key: &str) -> bool {
    key.starts_with(LIST)
}

impl AskedAccount {
    /// An account of the given id; `place` says in messages where the id was found.
    pub fn new(id: &str, place: &str) -> Self {
        match account_id(id) {
            Some(id) => Self {
                id,
                ..Self::default()
            },
            None => Self {
                id: shortened(id.trim(), LONGEST_NAME).into_owned(),
                problem: format!(
                    "{place}: an account ID has 32 hex digits; this is {}",
                    described(id)
                ),
                ..Self::default()
            },
        }
    }

    /// Whether the id is one that the API could know.
    pub fn is_valid(&self) -> bool {
        self.problem.is_empty()
    }
}

fn described(id: &str) -> String {
    let id = id.trim();
    if id.is_empty() {
        return "empty".to_owned();
    }
    let shown: String = id.chars().take(40).collect();
    format!("{shown:?}, with {}", count(id.chars().count(), "character"))
}

/// The id in lower case, where the text is 32 hex digits. A leading `'`, which the CSV files for
/// spreadsheets put before an id of digits only, is taken off.
pub fn account_id(text: &str) -> Option<String> {
    let text = text.trim();
    let text = text.strip_prefix('\'').unwrap_or(text);
    let valid = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
    valid.then(|| text.to_ascii_lowercase())
}

/// Accounts named in several ways, merged in first-seen order.
#[derive(Debug, Default)]
pub struct AccountList {
    accounts: Vec<AskedAccount>,
    positions: HashMap<String, usize>,
    /// The ids that were named more than once, in the order in which they were met again.
    pub duplicates: Vec<String>,
    /// Of these, those that were named with another owner or token than at first.
    pub contradicted: Vec<String>,
}

impl AccountList {
    /// Adds an account, or completes one that is already there with what it lacks; its place in the list.
    pub fn add(&mut self, account: AskedAccount) -> usize {
        if let Some(&position) = self.positions.get(&account.id) {
            let known = &mut self.accounts[position];
            let mut contradicts = false;
            // Each list has names of its own; an owner and a token are the user's word.
            for (field, more, is_the_users) in [
                (&mut known.name, account.name, false),
                (&mut known.owner, account.owner, true),
                (&mut known.token_env, account.token_env, true),
            ] {
                if field.is_empty() {
                    *field = more;
                } else if is_the_users && !more.is_empty() && *field != more {
                    contradicts = true;
                }
            }
            for source in account.sources {
                if !known.sources.contains(&source) {
                    known.sources.push(source);
                }
            }
            if contradicts {
                self.contradicted.push(account.id.clone());
            }
            self.duplicates.push(account.id);
            return position;
        }
        let position = self.accounts.len();
        self.positions.insert(account.id.clone(), position);
        self.accounts.push(account);
        position
    }

    /// The accounts in the order in which they were first named.
    pub fn into_accounts(self) -> Vec<AskedAccount> {
        self.accounts
    }

    /// The accounts in the order in which they were first named.
    pub fn accounts(&self) -> &[AskedAccount] {
        &self.accounts
    }
}

/// An account that a file names, with the line that names it (1-based).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountLine {
    /// 1-based.
    pub line: usize,
    /// What the line says.
    pub account: AskedAccount,
    /// The region whose account it is, where the line says so; see [`crate::region`].
    pub region: String,
}

/// The most problems of a file that are listed; the others are counted.
const MOST_PROBLEMS: usize = 20;

/// Why an accounts file is not taken: what is wrong in which line, and what to do about it. Shows no token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileProblems {
    file: String,
    /// The first ones, each with its line; 0 where no line is to blame.
    listed: Vec<(usize, String)>,
    count: usize,
}

impl FileProblems {
    fn new(file: &str) -> Self {
        Self {
            file: file.to_owned(),
            listed: Vec::new(),
            count: 0,
        }
    }

    fn add(&mut self, line: usize, cause: impl Into<String>) {
        self.count += 1;
        if self.listed.len() < MOST_PROBLEMS {
            self.listed.push((line, cause.into()));
        }
    }
}

impl fmt::Display for FileProblems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (line, cause)) in self.listed.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            match line {
                0 => write!(formatter, "{separator}{} {cause}", self.file)?,
                line => write!(formatter, "{separator}{} line {line}: {cause}", self.file)?,
            }
        }
        match self.count - self.listed.len() {
            0 => Ok(()),
            more => write!(formatter, "\nand {}", count(more, "more problem")),
        }
    }
}

impl std::error::Error for FileProblems {}

/// Reads an accounts file: one id a line with `#` comments and blank lines, or CSV whose header names
/// `account_id` and optionally `account_name`, `owner`, `token_env` and `region`. `name` is the file's, for messages.
///
/// In CSV each account is one line, so a quote that is not closed costs no other line its account. A line that begins
/// with `#` is a comment where it can be nothing else: before the header, where the id comes first (no id begins with
/// `#`), or where it holds no delimiter.
///
/// # Errors
/// The file is not UTF-8 text, has no column for the id, names no account, or holds a line that cannot be understood or
/// in which a token stands. An id that is none is no problem of the file: its account comes with its own.
pub fn parse_accounts_file(name: &str, bytes: &[u8]) -> Result<Vec<AccountLine>, FileProblems> {
    let Reading {
        accounts,
        mut problems,
        ..
    } = Reading::of(name, bytes);
    if problems.count == 0 && accounts.is_empty() {
        problems.add(
            0,
            "names no account; write one account ID per line, or a CSV with the column account_id",
        );
    }
    if problems.count > 0 {
        return Err(problems);
    }
    Ok(accounts)
}

/// The text of a file, or the line and the cause why it has none.
fn decode(bytes: &[u8]) -> Result<&str, (usize, String)> {
    if bytes.len() > LARGEST_FILE {
        let cause = format!(
            "is larger than the limit of {} MiB",
            LARGEST_FILE / 1024 / 1024
        );
        return Err((0, cause));
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        let cause = "this is UTF-16; save the file as UTF-8 (in Excel: \"CSV UTF-8\")";
        return Err((1, cause.to_owned()));
    }
    if bytes.starts_with(b"PK\x03\x04") {
        let cause = "is a workbook or an archive, not text; save the sheet as \"CSV UTF-8\"";
        return Err((0, cause.to_owned()));
    }
    let mut at = 0;
    for line in bytes.split(|byte| matches!(byte, b'\n' | b'\r')) {
        if line.len() > LONGEST_LINE {
            let cause = format!(
                "this line has {} bytes; the limit is {LONGEST_LINE}. Write one account per line",
                line.len()
            );
            return Err((line_at(bytes, at), cause));
        }
        at += line.len() + 1;
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        let cause = format!(
            "this is not UTF-8 text, near {}; it may be Windows-1252, which Excel's plain \"CSV\" is: save the file as UTF-8 \
             (in Excel: \"CSV UTF-8\")",
            shown(&cell_around(bytes, at))
        );
        (line_at(bytes, at), cause)
    })?;
    if let Some(at) = text.find('\0') {
        let cause = "this contains a NUL byte, so it is UTF-16 or not text: save the file as UTF-8";
        return Err((line_at(bytes, at), cause.to_owned()));
    }
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// The line (1-based) that a byte is in, as [`lines_of`] counts them.
fn line_at(bytes: &[u8], at: usize) -> usize {
    let ends_line = |&at: &usize| match bytes[at] {
        b'\n' => true,
        b'\r' => bytes.get(at + 1) != Some(&b'\n'),
        _ => false,
    };
    1 + (0..at).filter(ends_line).count()
}

/// What stands around a byte, up to the next delimiters and line breaks.
fn cell_around(bytes: &[u8], at: usize) -> String {
    let ends_cell = |b: &u8| matches!(b, b',' | b';' | b'\t' | b'"' | b'\r' | b'\n');
    let start = bytes[..at].iter().rposition(ends_cell).map_or(0, |i| i + 1);
    let end = bytes[at..].iter().position(ends_cell);
    let cell = &bytes[start..end.map_or(bytes.len(), |i| at + i)];
    String::from_utf8_lossy(cell).trim().to_owned()
}

/// Text of a file as messages show it: quoted, cut, harmless to a terminal, and never a token.
fn shown(text: &str) -> String {
    if looks_like_token(text) {
        return "(what looks like an API token)".to_owned();
    }
    let mut start: String = text.chars().take(40).collect();
    if start.len() < text.len() {
        start.push('\u{2026}');
    }
    format!("{start:?}")
}

/// The lines that hold more than delimiters, each with its number (1-based). Every kind of line break ends one.
fn lines_of(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut number = 0;
    let mut lines = text.split_inclusive(['\n', '\r']).peekable();
    std::iter::from_fn(move || {
        let line = lines.next()?;
        if line.ends_with('\r') {
            lines.next_if_eq(&"\n");
        }
        number += 1;
        Some((number, line.trim_end_matches(['\r', '\n'])))
    })
    .filter(|(_, line)| {
        line.chars()
            .any(|c| !c.is_whitespace() && c != ',' && c != ';')
    })
}

/// The cells of a line of CSV, or `None` where a quote in it is not closed.
fn cells_of(line: &str, delimiter: u8) -> Option<StringRecord> {
    let mut record = StringRecord::new();
    csv::ReaderBuilder::new()
        .has_headers(false)
        .delimiter(delimiter)
        .buffer_capacity(line.len() + 1)
        // The line break ends the record, unless a quote is open: then it becomes part of a cell.
        .from_reader(line.as_bytes().chain(&b"\n"[..]))
        .read_record(&mut record)
        .ok()?;
    let open = record.iter().any(|cell| cell.contains('\n'));
    (!open).then_some(record)
}

const UNCLOSED: &str = "a quote (\") is opened but not closed on this line; keep each account on one line, \
                        close the quote, and write a quote inside a cell as \"\"";

/// The delimiters that a CSV file may have, with their names.
const DELIMITERS: [(u8, &str); 3] = [(b',', "comma"), (b';', "semicolon"), (b'\t', "tab")];

/// What a column of a CSV file says of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Id,
    Name,
    Owner,
    TokenEnv,
    Region,
}

impl Column {
    const ALL: [Self; 5] = [
        Self::Id,
        Self::Name,
        Self::Owner,
        Self::TokenEnv,
        Self::Region,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Id => "account_id",
            Self::Name => "account_name",
            Self::Owner => "owner",
            Self::TokenEnv => "token_env",
            Self::Region => "region",
        }
    }

    /// The column that a head means, in whatever case and with whatever between its words.
    fn of_head(head: &str) -> Option<Self> {
        let plain: String = head
            .chars()
            .filter(|c| !c.is_whitespace() && !matches!(c, '_' | '-'))
            .flat_map(char::to_lowercase)
            .collect();
        match plain.as_str() {
            "accountid" | "account" => Some(Self::Id),
            "accountname" | "name" => Some(Self::Name),
            "owner" => Some(Self::Owner),
            "tokenenv" => Some(Self::TokenEnv),
            "region" => Some(Self::Region),
            _ => None,
        }
    }
}

/// The header of a CSV file.
struct Header {
    delimiter: u8,
    delimiter_name: &'static str,
    /// What each column means, where it means something.
    columns: Vec<Option<Column>>,
}

impl Header {
    /// The header that the first line is, or `None` where the file is a plain list.
    fn find(line: &str, delimiters: &[(u8, &'static str)]) -> Result<Option<Self>, String> {
        let headers = delimiters
            .iter()
            .filter_map(|&(delimiter, delimiter_name)| {
                let heads = cells_of(line, delimiter)?;
                let columns: Vec<_> = heads.iter().map(Column::of_head).collect();
                let header = Self {
                    delimiter,
                    delimiter_name,
                    columns,
                };
                header.at(Column::Id).is_some().then_some((header, heads))
            });
        // Where several delimiters make a column of it the id's: the one that makes most sense of the line.
        let known = |(header, _): &(Self, _)| header.columns.iter().flatten().count();
        match headers.rev().max_by_key(known) {
            Some((header, heads)) => match header.ambiguity(&heads) {
                None => Ok(Some(header)),
                Some(cause) => Err(cause),
            },
            None => no_header(line, delimiters).map_or(Ok(None), Err),
        }
    }

    /// Two columns that mean the same.
    fn ambiguity(&self, heads: &StringRecord) -> Option<String> {
        Column::ALL.into_iter().find_map(|column| {
            let mut alike = (0..heads.len()).filter(|&at| self.columns[at] == Some(column));
            let (first, second) = (alike.next()?, alike.next()?);
            Some(format!(
                "columns {} ({}) and {} ({}) both mean {}; remove or rename one of them",
                first + 1,
                shown(&heads[first]),
                second + 1,
                shown(&heads[second]),
                column.as_str()
            ))
        })
    }

    fn at(&self, column: Column) -> Option<usize> {
        self.columns.iter().position(|known| *known == Some(column))
    }

    /// Whether a line begins with `#` and can be nothing but a comment: no id begins with `#`, and a line without a
    /// delimiter names no account.
    fn is_comment(&self, line: &str) -> bool {
        let mut cells = line.split(char::from(self.delimiter));
        let first = cells.next().unwrap_or_default();
        begins_comment(first) && (cells.next().is_none() || self.at(Column::Id) == Some(0))
    }

    /// The account of a line, where it says anything; else what is wrong with the line.
    fn account(&self, line: &str, place: &str) -> Result<Option<(AskedAccount, String)>, String> {
        let cells = cells_of(line, self.delimiter).ok_or(UNCLOSED)?;
        if cells.iter().all(|cell| cell.trim().is_empty()) {
            return Ok(None);
        }
        let delimiter = char::from(self.delimiter);
        if line.split(delimiter).next().is_some_and(begins_comment) {
            return Err(format!(
                "this begins with # and may be a comment or an account; put quotes around the first cell if it is an account, and \
                 remove the line or its {}s if it is a comment",
                self.delimiter_name
            ));
        }
        // A cell too many moves those after it, and with them one account's token to another: none of them holds.
        if cells.len() > self.columns.len() {
            return Err(format!(
                "{}, but the header names {}; put quotes around a cell that contains a {}, as in \
                 \"Acme{delimiter} Inc\", or remove the extra cells",
                count(cells.len(), "cell"),
                count(self.columns.len(), "column"),
                self.delimiter_name,
            ));
        }
        // A line may end early: what it lacks is empty, and no cell that it has is moved.
        let cell = |column| {
            let cell = self.at(column).and_then(|at| cells.get(at));
            cell.unwrap_or_default().trim()
        };
        let is_token = |&column: &Column| match column {
            Column::Id => id_may_be_token(cell(column)),
            _ => looks_like_token(cell(column)),
        };
        if let Some(column) = Column::ALL.into_iter().find(is_token) {
            return Err(token_in(&format!("the column {}", column.as_str())));
        }
        if let Some(column) = Column::ALL
            .into_iter()
            .find(|column| cell(*column).chars().nth(LONGEST_NAME).is_some())
        {
            return Err(format!(
                "the column {} holds more than {LONGEST_NAME} characters; a quote may be missing before it",
                column.as_str()
            ));
        }
        let token_env = cell(Column::TokenEnv);
        if !token_env.is_empty() && !is_variable_name(token_env) {
            return Err(
                "the column token_env must hold the name of an environment variable (letters, digits and _, as \
                 in ACME_TOKEN); its value is not shown, because it may be a token"
                    .to_owned(),
            );
        }
        let account = AskedAccount {
            name: cell(Column::Name).to_owned(),
            owner: cell(Column::Owner).to_owned(),
            token_env: token_env.to_owned(),
            ..AskedAccount::new(cell(Column::Id), place)
        };
        Ok(Some((account, cell(Column::Region).to_owned())))
    }
}

/// The most columns that a message lists.
const MOST_COLUMNS: usize = 20;

/// Why a first line without a column for the id is no header, where it has columns; a line without any begins a plain
/// list.
fn no_header(line: &str, delimiters: &[(u8, &str)]) -> Option<String> {
    let held = |&(delimiter, _): &(u8, &str)| {
        let held = before_comment(line).matches(char::from(delimiter));
        (held.count(), delimiter)
    };
    let (held, delimiter) = delimiters
        .iter()
        .map(held)
        .rev()
        .max_by_key(|(held, _)| *held)?;
    // A line `sep=;` before it says that it is CSV.
    if held == 0 && delimiters.len() > 1 {
        return None;
    }
    let Some(heads) = cells_of(line, delimiter) else {
        return Some(UNCLOSED.to_owned());
    };
    if heads.iter().any(|head| account_id(head).is_some()) {
        return Some(
            "this names an account, but the first line of CSV must name the columns; put a line such as account_id,account_name above it"
                .to_owned(),
        );
    }
    let mut listed: Vec<_> = heads.iter().take(MOST_COLUMNS).map(shown).collect();
    if heads.len() > MOST_COLUMNS {
        listed.push(format!("{} more", heads.len() - MOST_COLUMNS));
    }
    Some(format!(
        "there is no column account_id; the columns are {}. Name the column with the account IDs account_id \
         (others may be account_name, owner, token_env and region)",
        listed.join(", ")
    ))
}

fn token_in(place: &str) -> String {
    format!(
        "{place} contains what looks like an API token (not shown); put the token in an environment variable \
         and the variable's name in the CSV column token_env, and roll the token if others can read this file"
    )
}

fn is_variable_name(text: &str) -> bool {
    !text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// An accounts file on its way to being a list: each line that says something is an account or a problem.
struct Reading {
    accounts: Vec<AccountLine>,
    problems: FileProblems,
}

impl Reading {
    fn of(name: &str, bytes: &[u8]) -> Self {
        let mut reading = Self {
            accounts: Vec::new(),
            problems: FileProblems::new(name),
        };
        let read = decode(bytes).and_then(|text| reading.read(text));
        if let Err((line, cause)) = read {
            reading.problems.add(line, cause);
        }
        reading
    }

    /// Reads the lines; fails where it cannot be known what they mean.
    fn read(&mut self, text: &str) -> Result<(), (usize, String)> {
        let mut lines = lines_of(text).peekable();
        let delimiters = match lines.next_if(|(_, line)| separator_of(line).is_some()) {
            None => &DELIMITERS[..],
            Some((number, line)) => {
                let given = separator_of(line).unwrap_or_default().as_bytes();
                let known = DELIMITERS.iter().position(|(known, _)| given == [*known]);
                let at = known.ok_or_else(|| {
                    let cause = "sep= names a delimiter other than comma, semicolon and tab; save the file with one of these";
                    (number, cause.to_owned())
                })?;
                &DELIMITERS[at..=at]
            }
        };
        let mut lines = lines
            .skip_while(|(_, line)| begins_comment(line))
            .peekable();
        let Some(&(number, first)) = lines.peek() else {
            return Ok(());
        };
        let header = Header::find(first, delimiters).map_err(|cause| (number, cause))?;
        for (number, line) in lines.skip(usize::from(header.is_some())) {
            if self.accounts.len() == MOST_ACCOUNTS {
                let cause = format!(
                    "this would be account {}, and a run reads at most {MOST_ACCOUNTS}",
                    MOST_ACCOUNTS + 1
                );
                return Err((number, cause));
            }
            match &header {
                None => self.line(number, line),
                Some(header) => self.row(header, number, line),
            }
        }
        Ok(())
    }

    /// A line of a plain list.
    fn line(&mut self, number: usize, line: &str) {
        let id = before_comment(line).trim();
        if id.is_empty() {
            return;
        }
        if id_may_be_token(id) {
            return self.problems.add(number, token_in("this line"));
        }
        let account = AskedAccount::new(id, &self.place(number));
        self.accounts.push(AccountLine {
            line: number,
            account,
            region: String::new(),
        });
    }

    /// A line of CSV below the header.
    fn row(&mut self, header: &Header, number: usize, line: &str) {
        if header.is_comment(line) {
            return;
        }
        match header.account(line, &self.place(number)) {
            Ok(Some((account, region))) => self.accounts.push(AccountLine {
                line: number,
                account,
                region,
            }),
            Ok(None) => {}
            Err(cause) => self.problems.add(number, cause),
        }
    }

    fn place(&self, number: usize) -> String {
        format!("{} line {number}", self.problems.file)
    }
}

/// The delimiter of a first line `sep=;`, which is written for Excel.
fn separator_of(line: &str) -> Option<&str> {
    let said = line.trim_matches(['"', ' ']);
    let (name, delimiter) = said.split_at_checked(4)?;
    name.eq_ignore_ascii_case("sep=").then_some(delimiter)
}

fn begins_comment(text: &str) -> bool {
    text.trim_start().starts_with('#')
}

fn before_comment(line: &str) -> &str {
    line.split('#').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: &str = "023e105f4ecef8ad9ca31a8372d0c353";
    const B: &str = "b0000000000000000000000000000002";

    const UNPREFIXED: &str = "Sn3lKmqWwhU5uzqLP_0gDbTcUjWS1XAc9VyQe_7R";

    fn parse(text: &str) -> Result<Vec<AskedAccount>, FileProblems> {
        let lines = parse_accounts_file("accounts", text.as_bytes())?;
        Ok(lines.into_iter().map(|line| line.account).collect())
    }

    /// What is said of a file that is not taken.
    #[track_caller]
    fn refused(bytes: impl AsRef<[u8]>) -> String {
        parse_accounts_file("f", bytes.as_ref())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn plain_lines_with_comments_blank_lines_bom_and_crlf() {
        let text = format!(
            "\u{feff}# ours\r\n\r\n{A}\r\n  {} # theirs\r\n",
            B.to_uppercase()
        );
        let ids: Vec<_> = parse(&text).unwrap().into_iter().map(|a| a.id).collect();
        assert_eq!(ids, [A, B]);
    }

    #[test]
    fn csv_in_any_dialect_and_order_of_columns() {
        for delimiter in [",", ";", "\t"] {
            let text = format!("owner,Account_ID,other,account_name,token_env\nops,'{A},x,\"Acme {delimiter} Co\",TOKEN_A\n\n,{B},,,\n")
                .replace(',', delimiter);
            let accounts = parse(&text).unwrap();
            assert_eq!(accounts.len(), 2, "{delimiter:?}");
            assert_eq!(accounts[0].id, A);
            assert_eq!(accounts[0].name, format!("Acme {delimiter} Co"));
            assert_eq!(
                (accounts[0].owner.as_str(), accounts[0].token_env.as_str()),
                ("ops", "TOKEN_A")
            );
            assert!(accounts[1].is_valid());
        }
    }

    #[test]
    fn a_bad_id_is_kept_with_its_line() {
        let accounts = parse(&format!("# c\n{A}\nnot-an-id\n")).unwrap();
        assert!(!accounts[1].is_valid());
        assert_eq!(
            accounts[1].problem,
            "accounts line 3: an account ID has 32 hex digits; this is \"not-an-id\", with 9 characters"
        );
        let csv = parse(&format!("# c\naccount_id,owner\n{A},x\n,y\n")).unwrap();
        assert_eq!(
            csv[1].problem,
            "accounts line 4: an account ID has 32 hex digits; this is empty"
        );
    }

    #[test]
    fn files_that_cannot_be_parsed_name_line_and_remedy() {
        assert!(refused(b"\xff\xfea\0").contains("UTF-16"));
        assert!(refused(b"x\n\0").starts_with("f line 2: this contains a NUL"));
        assert!(refused(b"# only\n\n").starts_with("f names no account"));
        assert!(refused(b"PK\x03\x04\x14\0").contains("save the sheet as \"CSV UTF-8\""));
    }

    #[test]
    fn text_in_another_encoding_is_told_with_its_line_the_nearest_text_and_a_remedy() {
        let said = refused(
            format!("account_id,name\r\n{A},x\r\n")
                .as_bytes()
                .iter()
                .copied()
                .chain(*b"y,M\xfcller GmbH,\x80\r\n")
                .collect::<Vec<_>>(),
        );
        assert_eq!(
            said,
            "f line 3: this is not UTF-8 text, near \"M\u{fffd}ller GmbH\"; it may be Windows-1252, which Excel's plain \"CSV\" is: save \
             the file as UTF-8 (in Excel: \"CSV UTF-8\")"
        );
        // Lone carriage returns end lines too.
        assert!(refused(b"a\rb\r\n\xfc").starts_with("f line 3: "));
        let said = refused(
            format!("account_id,token_env\n{A},{UNPREFIXED} ")
                .as_bytes()
                .iter()
                .copied()
                .chain(*b"\xfc\n")
                .collect::<Vec<_>>(),
        );
        assert!(said.contains("line 2") && !said.contains("Sn3l"), "{said}");
    }

    #[test]
    fn a_quote_that_is_not_closed_is_told_with_its_line() {
        let text = format!("account_id,account_name\n{A},\"Acme\n{B},Bee\n{B},\"Cee\nInc\",\n");
        let said = refused(&text);
        assert!(
            said.starts_with("f line 2: a quote (\") is opened but not closed"),
            "{said}"
        );
        assert!(said.contains("\nf line 4: a quote"), "{said}");
        assert!(
            refused(format!("account_id,\"owner\n{A},x\n{B},\"y\"\n"))
                .starts_with("f line 1: a quote")
        );
        assert!(refused(format!("account_id;\"owner\n{A};x\n")).starts_with("f line 1: a quote"));
    }

    #[test]
    fn a_number_sign_in_csv_is_a_comment_only_where_it_can_be_nothing_else() {
        let ids =
            |text: &str| -> Vec<_> { parse(text).unwrap().into_iter().map(|a| a.id).collect() };
        let text = format!(
            "# a, b\naccount_name,account_id\n# ours\nAcme,{A}\n  # theirs\n\"#1 Plumbing\",{B}\n"
        );
        assert_eq!(ids(&text), [A, B]);
        // No id begins with `#`.
        let text = format!("account_id,account_name\n#{B},Bee\n# a, b\n{A},#1 Plumbing\n");
        assert_eq!(ids(&text), [A]);
        // An account whose name is in the first column does.
        for row in [
            format!("#1 Plumbing,{B}"),
            format!("#1,{B},x"),
            "# ours, and theirs".to_owned(),
        ] {
            let said = refused(format!("account_name,account_id,owner\nAcme,{A}\n{row}\n"));
            assert!(
                said.starts_with(
                    "f line 3: this begins with # and may be a comment or an account; put quotes"
                ),
                "{said}"
            );
            assert!(said.contains("its commas"), "{said}");
        }
        assert_eq!(
            ids(&format!("account_name\taccount_id\n\t{A}\n# x, y\n")),
            [A]
        );
        // In a plain list, what follows it says nothing.
        assert_eq!(ids(&format!("{A} # the lab, ours\n")), [A]);
    }

    #[test]
    fn more_cells_than_columns_are_refused_and_fewer_are_empty() {
        let header = "account_id,account_name,owner,token_env";
        let said = refused(format!("{header}\n{A},Acme, Inc,,TOKEN_A\n{B},,,,\n"));
        assert_eq!(
            said.lines().next().unwrap(),
            "f line 2: 5 cells, but the header names 4 columns; put quotes around a cell that contains a comma, as in \"Acme, Inc\", or remove the extra cells"
        );
        assert!(
            said.contains("\nf line 3: 5 cells"),
            "an empty one may come of a comma in a name: {said}"
        );
        let said = refused(format!("account_id;token_env\n{A};x;TOKEN_A\n"));
        assert!(
            said.contains("contains a semicolon, as in \"Acme; Inc\""),
            "{said}"
        );

        let accounts = parse(&format!("{header}\n{A}\n{B},Bee\n")).unwrap();
        assert_eq!(accounts[0], AskedAccount::new(A, ""));
        assert_eq!(
            (accounts[1].name.as_str(), accounts[1].owner.as_str()),
            ("Bee", "")
        );
    }

    #[test]
    fn what_looks_like_a_token_is_refused_wherever_it_stands_and_not_shown() {
        let prefixed = ["cfut_", "cfat_", "cfk_", "cfoat_"]
            .map(|prefix| format!("{prefix}s3cretS3cretS3cret"));
        for token in prefixed.iter().map(String::as_str).chain([UNPREFIXED]) {
            let files = [
                (
                    "account_id,account_name,owner,token_env",
                    format!("{A},,,{token}"),
                    "token_env",
                ),
                (
                    "account_id,account_name,owner,token_env",
                    format!("{A},,{token},"),
                    "owner",
                ),
                (
                    "account_id,account_name,owner,token_env",
                    format!("{A},Acme {token},,"),
                    "account_name",
                ),
                (
                    "account_id,account_name,owner,token_env",
                    format!("{token},,,"),
                    "account_id",
                ),
                ("# ids", token.to_string(), "this line"),
                ("# ids", format!("{A} {token}"), "this line"),
                ("# ids", format!("{A},{token}"), "first line"),
                ("# ids", format!("x,{token}"), "columns"),
                ("account_id", format!("\"{token}"), "quote"),
                ("account_id", format!("{A},{token}"), "2 cells"),
            ];
            for (header, row, place) in files {
                // Where it were a variable's name, only the environment could tell.
                if (token, place) == (UNPREFIXED, "token_env") {
                    continue;
                }
                let said = refused(format!("{header}\n{row}\n"));
                assert!(said.starts_with("f line 2: "), "{said}");
                assert!(said.contains(place), "{said}");
                let (start, end) = token.split_at(token.len() / 2);
                assert!(!said.contains(start) && !said.contains(end), "{said}");
            }
        }
        // As long as one: not shown, where no name can stand.
        let said = refused("x".repeat(40));
        assert!(
            said.contains("looks like an API token") && !said.contains("xx"),
            "{said}"
        );
    }

    #[test]
    fn what_is_no_name_of_a_variable_is_refused_and_not_shown() {
        let file = |name: &str| format!("account_id,token_env\n{A},{name}\n");
        for name in [
            "ACME-TOKEN",
            "1_TOKEN",
            "$ACME",
            "ACME TOKEN",
            "M\u{fc}ller",
            "A=B",
        ] {
            let said = refused(file(name));
            assert!(
                said.starts_with(
                    "f line 2: the column token_env must hold the name of an environment variable"
                ),
                "{said}"
            );
            assert!(!said.contains(name), "{said}");
        }
        for name in [
            "_",
            "a1",
            "ACME_TOKEN",
            "CLOUDFLARE_API_TOKEN_OF_CUSTOMER_ACME_01",
        ] {
            assert_eq!(parse(&file(name)).unwrap()[0].token_env, name);
        }
    }

    #[test]
    fn heads_are_understood_in_the_ways_that_people_write_them() {
        for [id, name, owner, token_env] in [
            ["Account ID", "Account Name", "Owner", "Token Env"],
            ["account id", "Name", "OWNER", "token-env"],
            ["AccountId", "name", "owner", "TokenEnv"],
            ["Account", "ACCOUNT-NAME", " owner ", "TOKEN_ENV"],
            [
                "\"account_id\"",
                "\"account_name\"",
                "\"owner\"",
                "\"token_env\"",
            ],
        ] {
            for delimiter in [",", ";", "\t"] {
                let heads =
                    ["\"seats, at most; in all\t\"", owner, token_env, id, name].join(delimiter);
                let row = ["1", "ops", "TOKEN_A", A, "Acme"].join(delimiter);
                for separator in [
                    String::new(),
                    format!("sep={delimiter}\r\n"),
                    format!("\"SEP={delimiter}\"\n"),
                ] {
                    let text = format!("{separator}{heads}\r\n{row}\r\n");
                    let expected = AskedAccount {
                        name: "Acme".to_owned(),
                        owner: "ops".to_owned(),
                        token_env: "TOKEN_A".to_owned(),
                        ..AskedAccount::new(A, "")
                    };
                    assert_eq!(parse(&text), Ok(vec![expected]), "{text}");
                }
            }
        }
    }

    #[test]
    fn where_no_column_is_the_ids_the_columns_are_listed() {
        let said = refused(b"# c\nID;\"Name; full\";\x1b[2J\n1;2;3\n");
        assert_eq!(
            said,
            r#"f line 2: there is no column account_id; the columns are "ID", "Name; full", "\u{1b}[2J". Name the column with the account IDs account_id (others may be account_name, owner, token_env and region)"#
        );
        let many: Vec<_> = (0..1000).map(|n| format!("c{n}")).collect();
        let said = refused(many.join(","));
        assert!(
            said.contains("\"c19\", 980 more.") && said.len() < 400,
            "{said}"
        );
        let said = refused(format!("sep=;\n{A}\n"));
        assert!(
            said.starts_with(
                "f line 2: this names an account, but the first line of CSV must name the columns"
            ),
            "{said}"
        );
        let said = refused(format!("sep=|\naccount_id|owner\n{A}|x\n"));
        assert!(
            said.starts_with("f line 1: sep= names a delimiter other than"),
            "{said}"
        );
    }

    #[test]
    fn two_columns_that_mean_the_same_are_both_named() {
        let said = refused(format!("Account ID,Name,owner,Account Name\n{A},a,b,c\n"));
        assert_eq!(
            said,
            "f line 1: columns 2 (\"Name\") and 4 (\"Account Name\") both mean account_name; remove or rename one of them"
        );
        assert!(refused("account,account_id\n").contains("both mean account_id"));
        // Columns that mean nothing here may be alike.
        assert!(parse(&format!("account_id,notes,notes,,\n{A},a,b\n")).is_ok());
    }

    #[test]
    fn a_thousand_problems_are_counted_and_the_first_listed() {
        let rows = format!("{A},a,b\n").repeat(1000);
        let said = refused(format!("account_id,account_name\n{rows}"));
        assert_eq!(said.lines().count(), 21);
        assert!(
            said.contains("\nf line 21: ") && said.ends_with("\nand 980 more problems"),
            "{said}"
        );
    }

    #[test]
    fn a_line_without_end_is_refused_by_its_number() {
        let long = "x".repeat(LONGEST_LINE);
        for text in [
            format!("{A}\n{long}x\n{B}"),
            format!("account_id\r\n{A},\"{long}\"\r\n"),
            format!("# ours\r{}", ",".repeat(LONGEST_LINE + 1)),
        ] {
            let said = refused(text);
            assert!(said.starts_with("f line 2: this line has 1048"), "{said}");
        }
        let ignored = &long[..LONGEST_LINE - 100];
        assert!(parse(&format!("account_id,notes\n{A},{ignored}\n")).is_ok());
    }

    #[test]
    fn a_file_of_a_hundred_thousand_accounts_is_read() {
        let rows: String = (0..100_000)
            .map(|n| format!("{n:032x},\"Acme, {n}\",ops,TOKEN_{}\n", n % 9))
            .collect();
        let accounts = parse(&format!("account_id,account_name,owner,token_env\n{rows}")).unwrap();
        assert_eq!(
            (accounts.len(), &*accounts[99_999].name),
            (100_000, "Acme, 99999")
        );
    }

    #[test]
    fn merging_keeps_first_seen_order_and_fills_what_was_lacking() {
        let mut list = AccountList::default();
        list.add(AskedAccount::new(A, "x"));
        list.add(AskedAccount::new(B, "x"));
        list.add(AskedAccount {
            name: "Acme".to_owned(),
            ..AskedAccount::new(&A.to_uppercase(), "y")
        });
        assert_eq!(list.duplicates, [A]);
        let accounts = list.into_accounts();
        assert_eq!(accounts.len(), 2);
        assert_eq!(
            (accounts[0].id.as_str(), accounts[0].name.as_str()),
            (A, "Acme")
        );
    }

    /// A name, owner or such, as a file may hold it: no line break, which no row may hold, and no blanks around it.
    fn cell() -> impl Strategy<Value = String> {
        prop_oneof![
            "[ -~\u{e4}\u{20ac}]{0,30}",
            Just("#1 Plumbing, \"Inc\"; x\ty".to_owned())
        ]
        .prop_map(|text| text.trim().to_owned())
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_accounts_or_a_problem(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
            let _ = parse_accounts_file("f", &bytes);
        }

        #[test]
        fn any_text_with_a_header_is_accounts_or_a_problem(text in "[a#,;\"\t\r\n =']{0,200}", delimiter in 0..3usize) {
            let header = "account_name,account_id,owner".replace(',', [",", ";", "\t"][delimiter]);
            let _ = parse(&format!("{header}\n{text}"));
        }

        #[test]
        fn every_line_that_says_something_is_one_account(lines in proptest::collection::vec("[a-z0-9 ]{0,36}", 1..20)) {
            let said = lines.iter().filter(|line| !line.trim().is_empty()).count();
            let parsed = parse(&lines.join("\n")).map_or(0, |accounts| accounts.len());
            prop_assert_eq!(parsed, said);
        }

        #[test]
        fn every_row_is_an_account_or_a_problem(
            rows in proptest::collection::vec("[a#][b,;\"\t# ]{0,20}", 0..20),
            head in prop_oneof![Just("owner,account_id"), Just("owner;account_id;x"), Just("owner\taccount_id")],
            line_end in prop_oneof![Just("\n"), Just("\r\n"), Just("\r")],
        ) {
            let delimiter = [',', ';', '\t'].into_iter().find(|&d| head.contains(d)).unwrap();
            let comments = rows.iter().filter(|row| row.starts_with('#') && !row.contains(delimiter)).count();
            let text = format!("{head}{line_end}{}", rows.join(line_end));
            let reading = Reading::of("f", text.as_bytes());
            prop_assert_eq!(reading.accounts.len() + reading.problems.count, rows.len() - comments);
        }

        #[test]
        fn a_list_written_as_csv_comes_back_the_same(
            rows in proptest::collection::vec(("[0-9a-f]{32}", cell(), cell(), "([A-Z_][A-Z0-9_]{0,20})?"), 1..20),
            first in 0..4usize,
            delimiter in prop_oneof![Just(b','), Just(b';'), Just(b'\t')],
            always in any::<bool>(),
            bom in any::<bool>(),
            crlf in any::<bool>(),
            sep in any::<bool>(),
        ) {
            let mut writer = csv::WriterBuilder::new()
                .delimiter(delimiter)
                .quote_style(if always { csv::QuoteStyle::Always } else { csv::QuoteStyle::Necessary })
                .terminator(if crlf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') })
                .comment(Some(b'#'))
                .from_writer(Vec::new());
            let mut write = |mut cells: [&str; 4]| {
                cells.rotate_left(first);
                writer.write_record(cells).unwrap();
            };
            write(["account_id", "account_name", "owner", "token_env"]);
            for (id, name, owner, token_env) in &rows {
                write([id, name, owner, token_env]);
            }
            let csv = String::from_utf8(writer.into_inner().unwrap()).unwrap();
            let bom = if bom { "\u{feff}" } else { "" };
            let sep = if sep { format!("sep={}\r\n", char::from(delimiter)) } else { String::new() };
            let accounts = parse(&format!("{bom}{sep}{csv}")).unwrap();
            let read: Vec<_> = accounts.into_iter().map(|a| (a.id, a.name, a.owner, a.token_env)).collect();
            prop_assert_eq!(read, rows);
        }
    }
}
