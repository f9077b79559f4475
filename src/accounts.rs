//! Which accounts a run asks for: named on the command line, in files, or listed by the API.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::text::count;

/// One account that a run was asked to read, valid or not.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AskedAccount {
    /// 32 hex digits in lower case where valid, else the text as it was given.
    pub id: String,
    /// The name, where the source gave one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Who answers for the account, where the source says so.
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
            ..Self::unrecognisable(&path.display().to_string())
        }
    }

    /// All accounts that a token can list; another token has another list.
    pub fn list(name: &str, token_fingerprint: &str) -> Self {
        Self {
            key: Some(format!("{LIST}{token_fingerprint}")),
            ..Self::unrecognisable(name)
        }
    }

    /// The accounts of an organization.
    pub fn organization(id: &str) -> Self {
        Self {
            key: Some(format!("{ORGANIZATION}{id}")),
            ..Self::unrecognisable(&format!("the accounts of organization {id}"))
        }
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
                id: id.trim().to_owned(),
                problem: format!(
                    "{place}: an account id has 32 hex digits; this is {}",
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
    format!("{shown:?}, with {} characters", id.chars().count())
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
}

impl AccountList {
    /// Adds an account, or completes one that is already there with what it lacks.
    pub fn add(&mut self, account: AskedAccount) {
        if let Some(&position) = self.positions.get(&account.id) {
            let known = &mut self.accounts[position];
            for (field, more) in [
                (&mut known.name, account.name),
                (&mut known.owner, account.owner),
                (&mut known.token_env, account.token_env),
            ] {
                if field.is_empty() {
                    *field = more;
                }
            }
            for source in account.sources {
                if !known.sources.contains(&source) {
                    known.sources.push(source);
                }
            }
            self.duplicates.push(account.id);
            return;
        }
        self.positions
            .insert(account.id.clone(), self.accounts.len());
        self.accounts.push(account);
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

/// Why an accounts file could not be read as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileProblem {
    /// 1-based; 0 where no line is to blame.
    pub line: usize,
    /// What is wrong, and what would be right.
    pub cause: String,
}

impl fmt::Display for FileProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => formatter.write_str(&self.cause),
            line => write!(formatter, "line {line}: {}", self.cause),
        }
    }
}

impl std::error::Error for FileProblem {}

/// Reads an accounts file: one id a line with `#` comments and blank lines, or CSV whose header names
/// `account_id` and optionally `account_name`, `owner` and `token_env`. `name` is the file's, for messages.
///
/// # Errors
/// The file is not UTF-8 text, is CSV without the column `account_id`, or names no account.
pub fn parse_accounts_file(name: &str, bytes: &[u8]) -> Result<Vec<AskedAccount>, FileProblem> {
    let text = decode(bytes)?;
    let accounts = match header_of(text)? {
        Some(header) => parse_csv(name, text, &header)?,
        None => parse_lines(name, text),
    };
    if accounts.is_empty() {
        return Err(FileProblem {
            line: 0,
            cause: "names no account; write one account id a line, or CSV with a column account_id"
                .to_owned(),
        });
    }
    Ok(accounts)
}

fn decode(bytes: &[u8]) -> Result<&str, FileProblem> {
    let problem = |line, cause: &str| FileProblem {
        line,
        cause: cause.to_owned(),
    };
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(problem(
            1,
            "is UTF-16; save the file as UTF-8 (in Excel: \"CSV UTF-8\")",
        ));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = 1 + bytes[..error.valid_up_to()]
            .iter()
            .filter(|&&b| b == b'\n')
            .count();
        problem(line, "is not UTF-8 text; save the file as UTF-8")
    })?;
    if let Some(at) = text.find('\0') {
        let line = 1 + text[..at].matches('\n').count();
        return Err(problem(line, "holds a NUL byte; this is no text file"));
    }
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// Where a CSV file's columns are.
struct Header {
    /// 1-based.
    line: usize,
    /// In bytes from the start of the text.
    offset: usize,
    delimiter: u8,
}

const ID_COLUMN: &str = "account_id";

/// The CSV header, where the first line that says anything is one.
fn header_of(text: &str) -> Result<Option<Header>, FileProblem> {
    let mut offset = 0;
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let said = line.trim();
        if said.is_empty() || said.starts_with('#') {
            offset += line.len();
            continue;
        }
        let names_id = |cell: &str| {
            cell.trim()
                .trim_matches('"')
                .eq_ignore_ascii_case(ID_COLUMN)
        };
        for delimiter in [',', ';', '\t'] {
            if said.split(delimiter).any(names_id) {
                return Ok(Some(Header {
                    line: index + 1,
                    offset,
                    delimiter: delimiter as u8,
                }));
            }
        }
        if said.contains([',', ';', '\t']) {
            return Err(FileProblem {
                line: index + 1,
                cause: "has several columns, but none is headed account_id; the first line must name the columns \
                        (account_id, and optionally account_name, owner, token_env)"
                    .to_owned(),
            });
        }
        return Ok(None);
    }
    Ok(None)
}

fn parse_lines(name: &str, text: &str) -> Vec<AskedAccount> {
    let said = |line: &str| {
        let end = line.find('#').unwrap_or(line.len());
        line[..end].trim().to_owned()
    };
    text.lines()
        .enumerate()
        .map(|(index, line)| (index + 1, said(line)))
        .filter(|(_, id)| !id.is_empty())
        .map(|(line, id)| AskedAccount::new(&id, &format!("{name} line {line}")))
        .collect()
}

fn parse_csv(name: &str, text: &str, header: &Header) -> Result<Vec<AskedAccount>, FileProblem> {
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(header.delimiter)
        .flexible(true)
        .trim(csv::Trim::All)
        .comment(Some(b'#'))
        .from_reader(&text.as_bytes()[header.offset..]);
    let problem = |line: usize, error: csv::Error| FileProblem {
        line,
        cause: format!("is not readable as CSV: {error}"),
    };
    let columns = reader
        .headers()
        .map_err(|error| problem(header.line, error))?
        .clone();
    let column = |wanted: &str| {
        columns
            .iter()
            .position(|cell| cell.eq_ignore_ascii_case(wanted))
    };
    let (id, account_name, owner, token_env) = (
        column(ID_COLUMN),
        column("account_name"),
        column("owner"),
        column("token_env"),
    );

    let mut accounts = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| {
            let within = error
                .position()
                .map_or(0, |position| position.line() as usize);
            problem(header.line + within.saturating_sub(1), error)
        })?;
        let cell = |column: Option<usize>| column.and_then(|at| record.get(at)).unwrap_or_default();
        if record.iter().all(str::is_empty) {
            continue;
        }
        let line = header.line - 1
            + record
                .position()
                .map_or(1, |position| position.line() as usize);
        accounts.push(AskedAccount {
            name: cell(account_name).to_owned(),
            owner: cell(owner).to_owned(),
            token_env: cell(token_env).to_owned(),
            ..AskedAccount::new(cell(id), &format!("{name} line {line}"))
        });
    }
    Ok(accounts)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "023e105f4ecef8ad9ca31a8372d0c353";
    const B: &str = "b0000000000000000000000000000002";

    fn parse(text: &str) -> Result<Vec<AskedAccount>, FileProblem> {
        parse_accounts_file("accounts", text.as_bytes())
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
            "accounts line 3: an account id has 32 hex digits; this is \"not-an-id\", with 9 characters"
        );
        let csv = parse(&format!("# c\naccount_id,owner\n{A},x\n,y\n")).unwrap();
        assert_eq!(
            csv[1].problem,
            "accounts line 4: an account id has 32 hex digits; this is empty"
        );
    }

    #[test]
    fn files_that_cannot_be_parsed_name_line_and_remedy() {
        let said = |bytes: &[u8]| parse_accounts_file("f", bytes).unwrap_err().to_string();
        assert!(said(b"\xff\xfea\0").contains("UTF-16"));
        assert_eq!(
            said(b"ab\nc\xffd"),
            "line 2: is not UTF-8 text; save the file as UTF-8"
        );
        assert!(said(b"x\n\0").starts_with("line 2: holds a NUL"));
        assert!(said(b"# only\n\n").starts_with("names no account"));
        assert!(said(b"id,name\n1,2").starts_with("line 1: has several columns"));
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

    proptest::proptest! {
        #[test]
        fn any_bytes_are_accounts_or_a_problem(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
            let _ = parse_accounts_file("f", &bytes);
        }

        #[test]
        fn every_line_that_says_something_is_one_account(lines in proptest::collection::vec("[a-z0-9 ]{0,40}", 1..20)) {
            let said = lines.iter().filter(|line| !line.trim().is_empty()).count();
            let parsed = parse(&lines.join("\n")).map_or(0, |accounts| accounts.len());
            proptest::prop_assert_eq!(parsed, said);
        }
    }
}
