//! Connectors as Terraform's language has them, to be imported as they are.

use std::collections::HashSet;
use std::fmt::Write as _;

use crate::accounts::AskedAccount;
use crate::api::is_connector_id;
use crate::evidence::{AccountEvidence, RunHeader};
use crate::model::Connector;
use crate::outcome::Outcome;
use crate::text::{for_terminal, sha256_hex, shortened};

/// The longest part of a domain that is in a name, in characters.
const LONGEST_NAME: usize = 60;
/// The longest text from outside in a comment, in characters.
const LONGEST_COMMENT: usize = 200;

/// What stands before all of it.
pub fn head(header: &RunHeader) -> String {
    format!(
        "\
# The SSO connectors of run {}, written by cf-sso-audit {}.
# Terraform 1.5 or newer, with the provider cloudflare/cloudflare 5 or newer: `terraform plan` must show imports only.
# begin_verification is left out on purpose: if it is configured, the provider replaces a live connector.
",
        comment(&header.run_id),
        comment(&header.version)
    )
}

/// A resource and an import block for each connector of an account; comments where there can be none.
pub fn of_account(asked: &AskedAccount, evidence: &AccountEvidence) -> String {
    let mut text = String::new();
    let account = match asked.name.as_str() {
        "" => comment(&asked.id),
        name => format!("{} ({})", comment(name), comment(&asked.id)),
    };
    match evidence.outcome {
        Outcome::Read => {}
        Outcome::Incomplete => {
            let _ = writeln!(
                text,
                "\n# Account {account} was read in part: connectors are missing here."
            );
        }
        Outcome::Unread => {
            let _ = writeln!(
                text,
                "\n# Account {account} was not read: its connectors are missing here."
            );
        }
    }
    let mut seen = HashSet::new();
    for connector in &evidence.connectors {
        match resource(asked, connector, &mut seen) {
            Ok(resource) => {
                let _ = write!(text, "\n# {account}\n{resource}");
            }
            Err(reason) => {
                let about = connector.email_domain.shown("no domain");
                let _ = writeln!(
                    text,
                    "\n# Left out: {} of {account}: {reason}.",
                    comment(&about)
                );
            }
        }
    }
    text
}

fn resource(
    asked: &AskedAccount,
    connector: &Connector,
    seen: &mut HashSet<String>,
) -> Result<String, &'static str> {
    let id = connector.id.known().ok_or("its ID is unknown")?;
    if !is_connector_id(id) {
        return Err("the API does not accept its ID");
    }
    let domain = connector.email_domain.known();
    let domain = domain.ok_or("its domain is unknown")?;
    if !seen.insert(id.clone()) {
        return Err("another connector of the account has the same ID");
    }
    let name = name(&asked.id, id, domain);
    let mut text = format!(
        "resource \"cloudflare_sso_connector\" \"{name}\" {{\n  account_id           = {}\n  email_domain         = {}\n",
        string(&asked.id),
        string(domain)
    );
    for (attribute, value) in [
        ("enabled             ", connector.enabled.known()),
        (
            "use_fedramp_language",
            connector.use_fedramp_language.known(),
        ),
    ] {
        let _ = match value {
            Some(value) => writeln!(text, "  {attribute} = {value}"),
            None => writeln!(text, "  # {}: not known", attribute.trim_end()),
        };
    }
    let _ = write!(
        text,
        "}}\n\nimport {{\n  to = cloudflare_sso_connector.{name}\n  id = {}\n}}\n",
        string(&format!("{}/{id}", asked.id))
    );
    Ok(text)
}

/// A name that is the same in each run, and another one for each connector: the domain, to be read, and a hash.
fn name(account_id: &str, connector_id: &str, domain: &str) -> String {
    let safe = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '_'
        }
    };
    let domain: String = domain.chars().take(LONGEST_NAME).map(safe).collect();
    let hash = sha256_hex(format!("{account_id}/{connector_id}").as_bytes());
    // A name begins with a letter.
    let before = match domain.as_bytes().first() {
        Some(first) if first.is_ascii_alphabetic() => "",
        _ => "d_",
    };
    format!("{before}{domain}_{}", &hash[..12])
}

/// A quoted string in which nothing is a template.
fn string(text: &str) -> String {
    let mut quoted = String::from("\"");
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '$' | '%' if characters.peek() == Some(&'{') => quoted.extend([c, c]),
            ' '..='~' => quoted.push(c),
            c if u32::from(c) <= 0xffff => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => {
                let _ = write!(quoted, "\\U{:08x}", u32::from(c));
            }
        }
    }
    quoted + "\""
}

/// Text from outside in a comment that ends with its line.
fn comment(text: &str) -> String {
    for_terminal(&shortened(text, LONGEST_COMMENT)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{ErrorKind, ReadError};
    use hcl_edit::expr::Expression;
    use hcl_edit::structure::Body;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    const ACCOUNT: &str = "023e105f4ecef8ad9ca31a8372d0c353";

    fn exported(connectors: Value) -> String {
        let mut evidence = AccountEvidence::unread(0, ReadError::new(ErrorKind::Api, ""));
        evidence.outcome = Outcome::Read;
        evidence.connectors = serde_json::from_value(connectors).unwrap();
        of_account(&AskedAccount::new(ACCOUNT, "Acme\n${x}"), &evidence)
    }

    fn connector(number: usize, domain: &str) -> Value {
        json!({"id": format!("c0{number:030x}"), "email_domain": domain, "enabled": true, "use_fedramp_language": false})
    }

    type Attributes = Vec<(String, Expression)>;

    /// The labels and attributes of the blocks of a kind.
    fn blocks(text: &str, kind: &str) -> Vec<(Vec<String>, Attributes)> {
        let body: Body = text.parse().unwrap();
        let of_kind = body.get_blocks(kind).map(|block| {
            let labels = block.labels.iter().map(|label| label.as_str().to_owned());
            let attributes = block.body.attributes();
            let attributes =
                attributes.map(|attribute| (attribute.key.to_string(), attribute.value.clone()));
            (labels.collect(), attributes.collect())
        });
        of_kind.collect()
    }

    fn keys(attributes: &[(String, Expression)]) -> Vec<&str> {
        attributes.iter().map(|(key, _)| key.trim()).collect()
    }

    #[test]
    fn each_connector_is_a_resource_with_its_import() {
        let text = exported(json!([
            connector(1, "a.example"),
            connector(2, "1b.example")
        ]));
        let resources = blocks(&text, "resource");
        let imports = blocks(&text, "import");
        assert_eq!((resources.len(), imports.len()), (2, 2), "{text}");
        for ((labels, attributes), (_, import)) in resources.iter().zip(&imports) {
            assert_eq!(labels[0], "cloudflare_sso_connector");
            assert_eq!(
                keys(attributes),
                [
                    "account_id",
                    "email_domain",
                    "enabled",
                    "use_fedramp_language"
                ]
            );
            assert_eq!(keys(import), ["to", "id"]);
            let to = import[0].1.to_string();
            assert_eq!(to.trim(), format!("cloudflare_sso_connector.{}", labels[1]));
        }
        assert_eq!(
            imports[0].1[1].1.as_str(),
            Some(&*format!("{ACCOUNT}/c0{:030x}", 1))
        );
        assert!(resources[0].0[1].starts_with("a_example_"));
        assert!(resources[1].0[1].starts_with("d_1b_example_"));
        assert!(!text.contains("begin_verification"));
    }

    #[test]
    fn what_cannot_be_imported_is_a_comment() {
        let text = exported(json!([
            {"id": "short", "email_domain": "a.example"},
            {"email_domain": "b.example\nresource \"x\" \"y\" {}"},
            {"id": format!("c0{:030x}", 3)},
            connector(4, "d.example"),
            connector(4, "e.example"),
            {"id": format!("c0{:030x}", 5), "email_domain": "f.example"},
        ]));
        assert_eq!(text.matches("# Left out: ").count(), 4, "{text}");
        let resources = blocks(&text, "resource");
        assert_eq!(resources.len(), 2, "{text}");
        // A setting that is not known is not set.
        assert_eq!(keys(&resources[1].1), ["account_id", "email_domain"]);
        assert_eq!(text.matches(": not known\n").count(), 2);
    }

    #[test]
    fn an_account_that_was_not_read_is_a_comment() {
        let evidence = AccountEvidence::unread(0, ReadError::new(ErrorKind::Timeout, ""));
        let text = of_account(&AskedAccount::new(ACCOUNT, ""), &evidence);
        assert_eq!(
            text,
            format!("\n# Account {ACCOUNT} was not read: its connectors are missing here.\n")
        );
    }

    proptest! {
        #[test]
        fn any_domain_comes_back_through_a_parser(domain in ".{1,60}") {
            let answered = connector(1, &domain);
            let text = exported(json!([answered]));
            let resources = blocks(&text, "resource");
            let read: Connector = serde_json::from_value(answered).unwrap();
            let values: Vec<_> = resources.iter().map(|(_, attributes)| attributes[1].1.as_str()).collect();
            let known: Vec<_> = read.email_domain.known().into_iter().map(|domain| Some(domain.as_str())).collect();
            prop_assert_eq!(values, known, "{}", text);
        }
    }
}
