//! What API tokens look like, so that none that is in a wrong place is shown.

use std::borrow::Cow;
use std::ffi::OsString;
use std::path::Path;

/// What Cloudflare's tokens begin with: a user's, an account's, a global key, an OAuth access token.
const PREFIXES: [&str; 4] = ["cfut_", "cfat_", "cfk_", "cfoat_"];

/// Tokens from before the prefixes have 40 characters, global keys from before them 37.
const SHORTEST_UNPREFIXED: usize = 37;

/// Whether a word of the text looks like an API token, so that the text must not be shown: it has a prefix of
/// Cloudflare's, or is as long as a token from before the prefixes and as mixed. Names of variables and accounts, ids
/// and UUIDs do not, also where they are long or joined by `-` and `_`.
pub fn looks_like_token(text: &str) -> bool {
    words_like_tokens(text).next().is_some()
}

/// The words of a text that look like API tokens.
fn words_like_tokens(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c| !is_token_character(c));
    words.filter(|word| begins_as_token(word) || is_random(word))
}

/// Whether a text begins as Cloudflare's tokens do that have a prefix.
pub fn begins_as_token(text: &str) -> bool {
    PREFIXES.iter().any(|prefix| text.starts_with(prefix))
}

/// Whether a character may be in an API token.
fn is_token_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

/// Whether a word is long and mixes small letters and digits as no one who names something does: with capitals, or
/// over its whole length. A name of many words has each kind in a word of its own.
fn is_random(word: &str) -> bool {
    let mixed = |part: &str| {
        let has = |kind: fn(&u8) -> bool| part.as_bytes().iter().any(kind);
        has(u8::is_ascii_lowercase)
            && has(u8::is_ascii_digit)
            && (has(u8::is_ascii_uppercase) || part.len() >= SHORTEST_UNPREFIXED)
    };
    word.len() >= SHORTEST_UNPREFIXED && word.split(['-', '_']).any(mixed)
}

/// Whether a text has the form of a token from before the prefixes, whatever is in it. Names have it too; where
/// only an id may stand, nothing of that form is worth the risk of showing a token.
fn has_form_of_token(text: &str) -> bool {
    text.len() == 40 && text.chars().all(is_token_character)
}

/// Whether a text given as an account's id may be an API token, and must not be shown.
pub fn id_may_be_token(text: &str) -> bool {
    looks_like_token(text) || has_form_of_token(text.trim())
}

/// Whether what is given as a file's path may be an API token, and must not be shown.
pub fn path_may_be_token(path: &Path) -> bool {
    !path.exists() && looks_like_token(&path.to_string_lossy())
}

/// A message without what looks like an API token in one of the arguments that were given, and is the path of nothing:
/// somebody gave it in place of a path.
pub fn without_tokens_of<'m>(
    arguments: impl Iterator<Item = OsString>,
    message: &'m str,
) -> Cow<'m, str> {
    let mut clean = Cow::Borrowed(message);
    for argument in arguments {
        if !path_may_be_token(Path::new(&argument)) {
            continue;
        }
        for token in words_like_tokens(&argument.to_string_lossy()) {
            if clean.contains(token) {
                clean = Cow::Owned(clean.replace(token, "[token]"));
            }
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_token_is_told_from_names_and_ids() {
        for token in [
            "cfut_x",
            "cfat_0123456789abcdefghijklmnopqrstuvwxyzABCD01234567",
            "cfk_0123456789abcdefghijklmnopqrstuvwxyzABCD01234567",
            "cfoat_secret",
            "Bearer cfut_secret",
            "export TOKEN='cfut_secret'",
            "Sn3lKmqWwhU5uzqLP-0gDbTcUjWS1XAc9VyQe_7R",
            "see: Sn3lKmqWwhU5uzqLP_0gDbTcUjWS1XAc9VyQe-7R.",
            "0123456789abcdef0123456789abcdef01234",
            "abcdefghij0123456789abcdefghij0123456789",
        ] {
            assert!(looks_like_token(token), "{token}");
        }
        for name in [
            "",
            "023e105f4ecef8ad9ca31a8372d0c353",
            "TOKEN_A",
            "CFUT_ACME",
            "CLOUDFLARE_API_TOKEN_OF_CUSTOMER_ACME_01",
            "Acme-Corporation-Production-Account-2024",
            "tenant-0b8e7c6d-5f4a-4b3c-9d2e-1f0a9b8c7d6e",
            "account-023e105f4ecef8ad9ca31a8372d0c353",
            "Donaudampfschifffahrtselektrizitaetenhauptbetriebswerk",
            "M\u{fc}ller & S\u{f6}hne Handelsgesellschaft mbH, Zweigstelle 2024",
        ] {
            assert!(!looks_like_token(name), "{name}");
        }
        assert!(has_form_of_token(&"x".repeat(40)) && !has_form_of_token(&"x".repeat(39)));
    }
}
