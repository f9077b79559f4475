//! An API token: read, checked, and shown to nobody.

use std::fmt;
use std::io::Read as _;
use std::ops::Range;
use std::path::Path;

use http::HeaderValue;

use crate::text::sha256_hex;
use crate::token_form::looks_like_token;

/// The environment variable that Cloudflare's own clients read.
pub const TOKEN_VARIABLE: &str = "CLOUDFLARE_API_TOKEN";

/// The environment variables from which Cloudflare's own clients read a user's e-mail address and global key.
pub const EMAIL_VARIABLE: &str = "CLOUDFLARE_EMAIL";
/// See [`EMAIL_VARIABLE`].
pub const KEY_VARIABLE: &str = "CLOUDFLARE_API_KEY";

/// Texts shorter than this, in bytes, are not looked for in answers.
const SHORTEST_SECRET: usize = 16;

/// An API token. Its Debug shows nothing of it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(***)")
    }
}

/// Who a token belongs to, by its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// `cfut_`
    User,
    /// `cfat_`
    Account,
    /// `cfk_`: a global key, which the SSO operations refuse.
    GlobalKey,
    /// `cfoat_`: an OAuth access token, as `wrangler auth token` prints one.
    OAuth,
    /// Tokens from before the prefixes.
    Unprefixed,
}

/// Why a text cannot be a token. Names the source, never the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The variable is not set.
    #[error("{0} is not set")]
    Missing(String),
    /// Nothing but white space.
    #[error("{0} is empty")]
    Empty(String),
    /// A character that no HTTP header may hold, or that no token has.
    #[error("{name} contains {character} at position {position}, which no API token does")]
    Character {
        /// The variable or file.
        name: String,
        /// What kind of character it is.
        character: &'static str,
        /// 1-based.
        position: usize,
    },
    /// The file cannot be read.
    #[error("cannot read the token file {name}: {cause}")]
    File {
        /// The file's path.
        name: String,
        /// Why.
        cause: String,
    },
}

/// The most that is read of a token's file, in bytes.
const LARGEST_FILE: u64 = 64 * 1024;

impl Token {
    /// Takes a token from text; white space around it is trimmed. `name` says in errors where it came from.
    ///
    /// # Errors
    /// The text is empty, or contains what no token has.
    pub fn parse(name: &str, text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(TokenError::Empty(name.to_owned()));
        }
        // Quotes around it are a slip, and the API would be sent them.
        let visible = |c: char| c.is_ascii_graphic() && c != '"' && c != '\'';
        if let Some((index, odd)) = text.chars().enumerate().find(|&(_, c)| !visible(c)) {
            let character = match odd {
                '\n' | '\r' => "a line break",
                ' ' | '\t' => "white space",
                '"' | '\'' => "a quote",
                c if c.is_control() => "a control character",
                _ => "a character outside ASCII",
            };
            return Err(TokenError::Character {
                name: name.to_owned(),
                character,
                position: index + 1,
            });
        }
        Ok(Self(text.to_owned()))
    }

    /// Takes the token that an environment variable holds.
    ///
    /// # Errors
    /// The variable is not set, or holds no token.
    pub fn from_variable(name: &str) -> Result<Self, TokenError> {
        match std::env::var_os(name) {
            // No such variable: the name may be a token, written where the name of its variable should stand.
            None if looks_like_token(name) => Err(TokenError::Missing(
                "a variable whose name looks like an API token".to_owned(),
            )),
            None => Err(TokenError::Missing(name.to_owned())),
            Some(text) => Self::parse(name, &text.to_string_lossy()),
        }
    }

    /// Takes the token that a file holds.
    ///
    /// # Errors
    /// The file cannot be read, or holds no token.
    pub fn from_file(path: &Path) -> Result<Self, TokenError> {
        let name = path.display().to_string();
        // A token is short; a device may have no end.
        let mut text = String::new();
        let read = std::fs::File::open(path)
            .and_then(|file| file.take(LARGEST_FILE).read_to_string(&mut text));
        match read.map(|_| text) {
            Ok(text) => Self::parse(&name, &text),
            Err(error) => Err(TokenError::File {
                name,
                cause: error.to_string(),
            }),
        }
    }

    /// Who the token belongs to, by its prefix.
    pub fn kind(&self) -> TokenKind {
        match self.0.split_once('_').map(|(prefix, _)| prefix) {
            Some("cfut") => TokenKind::User,
            Some("cfat") => TokenKind::Account,
            Some("cfk") => TokenKind::GlobalKey,
            Some("cfoat") => TokenKind::OAuth,
            _ => TokenKind::Unprefixed,
        }
    }

    /// Eight hex digits by which the token is told from others and not known: far too few to find it, or to check a guess.
    pub fn fingerprint(&self) -> String {
        let mut digest = sha256_hex(format!("cf-sso-audit lists with {}", self.0).as_bytes());
        digest.truncate(8);
        digest
    }

    /// The header that carries the token, marked so that nothing logs it. `None` for no token that `parse` made.
    pub(super) fn header(&self) -> Option<HeaderValue> {
        sensitive(&format!("Bearer {}", self.0))
    }

    /// The same for a global key, which goes without a word before it.
    pub(super) fn key_header(&self) -> Option<HeaderValue> {
        sensitive(&self.0)
    }

    /// The bytes with every occurrence of the token replaced, or `None` where there is none. An occurrence counts also
    /// where characters of it are written as JSON or an address would escape them: what is decoded later must not bring
    /// the token back.
    pub(super) fn redact(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let token = self.0.as_bytes();
        // So short a text is no secret of Cloudflare's, whose tokens have 40 characters, and may stand anywhere.
        if token.len() < SHORTEST_SECRET {
            return None;
        }
        // No form of it is shorter than itself, and most headers are.
        if bytes.len() < token.len() {
            return None;
        }
        let found = memchr::memmem::find_iter(bytes, token).map(|at| at..at + token.len());
        let plain = without(bytes, found);
        let rest = plain.as_deref().unwrap_or(bytes);
        if memchr::memchr2(b'\\', b'%', rest).is_none() {
            return plain;
        }
        without(rest, escaped_forms(token, rest)).or(plain)
    }
}

/// A header's value that nothing logs; `None` for a text that no header may hold.
pub(super) fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Bytes with some of their parts, in order, replaced; `None` where there are none.
fn without(bytes: &[u8], parts: impl Iterator<Item = Range<usize>>) -> Option<Vec<u8>> {
    let mut clean = Vec::new();
    let mut kept = 0;
    for part in parts {
        clean.extend_from_slice(&bytes[kept..part.start]);
        clean.extend_from_slice(b"[token]");
        kept = part.end;
    }
    (kept > 0).then(|| {
        clean.extend_from_slice(&bytes[kept..]);
        clean
    })
}

/// Where bytes hold the token with some of its characters escaped.
fn escaped_forms<'b>(token: &'b [u8], bytes: &'b [u8]) -> impl Iterator<Item = Range<usize>> + 'b {
    let mut from = 0;
    std::iter::from_fn(move || {
        while let Some(at) = memchr::memchr3(token[0], b'\\', b'%', &bytes[from..]) {
            let start = from + at;
            if let Some(end) = end_of_escaped(token, bytes, start) {
                from = end;
                return Some(start..end);
            }
            // The second of two backslashes begins no escape.
            let pair = bytes[start..].starts_with(b"\\\\");
            from = start + if pair { 2 } else { 1 };
        }
        None
    })
}

/// Where the token ends that begins at a place, each of its characters as it is or escaped; `None` where none begins.
fn end_of_escaped(token: &[u8], bytes: &[u8], start: usize) -> Option<usize> {
    token.iter().try_fold(start, |at, &expected| {
        let (character, length) = unescaped(&bytes[at..])?;
        (character == expected).then_some(at + length)
    })
}

/// The ASCII character that bytes begin with, as it is or as `\u0063`, `\/` or `%63`, and how many bytes it takes.
fn unescaped(bytes: &[u8]) -> Option<(u8, usize)> {
    let hex = |digits: &[u8]| {
        let digits = std::str::from_utf8(digits).ok()?;
        u8::from_str_radix(digits, 16).ok()
    };
    match bytes {
        [b'\\', b'u', b'0', b'0', high, low, ..] => Some((hex(&[*high, *low])?, 6)),
        [b'\\', b'\\', ..] => Some((b'\\', 2)),
        [b'\\', escaped @ (b'/' | b'"'), ..] => Some((*escaped, 2)),
        [b'%', high, low, ..] if hex(&[*high, *low]).is_some() => Some((hex(&[*high, *low])?, 3)),
        [plain, ..] => Some((*plain, 1)),
        [] => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_trimmed_and_never_shown() {
        let token = Token::parse("T", "  cfut_secret\r\n").unwrap();
        assert_eq!(token, Token("cfut_secret".to_owned()));
        assert_eq!(format!("{token:?}"), "Token(***)");
        assert_eq!(token.kind(), TokenKind::User);
        assert!(token.header().unwrap().is_sensitive());
        let of_wrangler = Token::parse("T", "cfoat_secret").unwrap();
        assert_eq!(of_wrangler.kind(), TokenKind::OAuth);
    }

    #[test]
    fn a_token_in_place_of_its_variables_name_is_not_shown() {
        for token in ["cfut_secret", "Sn3lKmqWwhU5uzqLP_0gDbTcUjWS1XAc9VyQe_7R"] {
            let said = Token::from_variable(token).unwrap_err().to_string();
            assert_eq!(
                said,
                "a variable whose name looks like an API token is not set"
            );
        }
    }

    #[test]
    fn what_no_header_may_hold_is_refused_by_name_and_not_repeated() {
        for (text, kind) in [
            ("a\nb", "a line break"),
            ("a b", "white space"),
            ("\"ab\"", "a quote"),
            ("a\u{7f}b", "a control"),
            ("a\u{e9}", "outside ASCII"),
        ] {
            let said = Token::parse("MY_TOKEN", text).unwrap_err().to_string();
            assert!(
                said.starts_with("MY_TOKEN contains")
                    && said.contains(kind)
                    && !said.contains(text),
                "{said}"
            );
        }
        assert_eq!(
            Token::parse("T", " \n"),
            Err(TokenError::Empty("T".to_owned()))
        );
    }

    #[test]
    fn an_answer_that_repeats_the_token_is_redacted() {
        let token = Token::parse("T", "s3cret-of-16-chr").unwrap();
        assert_eq!(
            token
                .redact(b"a s3cret-of-16-chr b s3cret-of-16-chrs3cret-of-16-chr")
                .unwrap(),
            b"a [token] b [token][token]"
        );
        assert_eq!(token.redact(b"nothing"), None);
        assert_eq!(
            token.redact(br"nothing \ escaped %20 s3cret-of-16-ch"),
            None
        );
        let short = Token::parse("T", "x").unwrap();
        assert_eq!(short.redact(b"extra"), None);
    }

    #[test]
    fn a_token_that_is_repeated_in_an_escaped_form_is_redacted() {
        let token = Token::parse("T", "cfut_ab/cd.efghi-jk").unwrap();
        for form in [
            r#"\u0063fut_ab\/cd.efghi-jk"#,
            r#"cfut\u005fab\/cd.efghi-jk"#,
            r#"cfut_ab\u002Fcd\u002eefghi\u002djk"#,
            r#"%63fut_ab%2fcd%2eefghi-jk"#,
        ] {
            let text = format!("x \\ %zz {form} y {form}");
            let clean = token.redact(text.as_bytes()).unwrap();
            assert_eq!(clean, br"x \ %zz [token] y [token]", "{form}");
        }
        // A backslash of its own, and not the token.
        let other = br#"\\u0063fut_ab\/cd.efghi-jk"#;
        assert_eq!(token.redact(other), None);
    }

    proptest::proptest! {
        /// However its characters are written, what is left decodes to nothing that holds the token.
        #[test]
        fn no_way_of_writing_it_in_json_brings_the_token_back(escaped in proptest::collection::vec(0..3u8, 20), around in "[a-z\\\\%\"]{0,8}") {
            let secret = "cfut_0123456789/ABCD";
            let token = Token::parse("T", secret).unwrap();
            let written: String = secret
                .chars()
                .zip(escaped)
                .map(|(c, how)| match how {
                    0 => c.to_string(),
                    1 => format!("\\u{:04x}", c as u32),
                    _ => format!("\\u{:04X}", c as u32),
                })
                .collect();
            let around = serde_json::to_string(&around).unwrap();
            let around = &around[1..around.len() - 1];
            let body = format!("{{\"a\":\"{around}{written}{around}\"}}");
            let clean = token.redact(body.as_bytes()).unwrap();
            let value: serde_json::Value = serde_json::from_slice(&clean).unwrap();
            proptest::prop_assert!(!value["a"].as_str().unwrap().contains(secret));
        }
    }
}
