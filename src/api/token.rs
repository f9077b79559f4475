//! An API token: read, checked, and shown to nobody.

use std::fmt;
use std::path::Path;

use http::HeaderValue;

use crate::text::sha256_hex;

/// The environment variable that Cloudflare's own clients read.
pub const TOKEN_VARIABLE: &str = "CLOUDFLARE_API_TOKEN";

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
    #[error("{name} holds {character} at position {position}, which no API token has")]
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

impl Token {
    /// Takes a token from text; white space around it is trimmed. `name` says in errors where it came from.
    ///
    /// # Errors
    /// The text is empty, or holds what no token has.
    pub fn parse(name: &str, text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(TokenError::Empty(name.to_owned()));
        }
        let visible = |c: char| c.is_ascii_graphic();
        if let Some((index, odd)) = text.chars().enumerate().find(|&(_, c)| !visible(c)) {
            let character = match odd {
                '\n' | '\r' => "a line break",
                ' ' | '\t' => "white space",
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
        match std::fs::read_to_string(path) {
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
        let mut value = HeaderValue::from_str(&format!("Bearer {}", self.0)).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// The bytes with every occurrence of the token replaced, or `None` where there is none.
    pub(super) fn redact(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let token = self.0.as_bytes();
        // So short a text is no secret of Cloudflare's, whose tokens have 40 characters, and may stand anywhere.
        if token.len() < SHORTEST_SECRET {
            return None;
        }
        let mut clean = Vec::new();
        let mut rest = bytes;
        while let Some(at) = memchr::memmem::find(rest, token) {
            clean.extend_from_slice(&rest[..at]);
            clean.extend_from_slice(b"[token]");
            rest = &rest[at + token.len()..];
        }
        (rest.len() < bytes.len()).then(|| {
            clean.extend_from_slice(rest);
            clean
        })
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
    }

    #[test]
    fn what_no_header_may_hold_is_refused_by_name_and_not_repeated() {
        for (text, kind) in [
            ("a\nb", "a line break"),
            ("a b", "white space"),
            ("a\u{7f}b", "a control"),
            ("a\u{e9}", "outside ASCII"),
        ] {
            let said = Token::parse("MY_TOKEN", text).unwrap_err().to_string();
            assert!(
                said.starts_with("MY_TOKEN holds") && said.contains(kind) && !said.contains(text),
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
        let short = Token::parse("T", "x").unwrap();
        assert_eq!(short.redact(b"extra"), None);
    }
}
