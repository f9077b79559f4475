//! Names that may be asked for.

/// The longest name, in characters, without the dot of the root.
const LONGEST_NAME: usize = 253;
/// The longest label.
const LONGEST_LABEL: usize = 63;

/// Where below a domain its record is found when it was put in the wrong place: under the names that a reader of the code
/// may take for its own, at `www`, and where a provider has put the domain behind the domain.
const PLACES_BELOW: [&str; 5] = [
    "_cloudflare",
    "_cloudflare_dashboard_sso",
    "cloudflare_dashboard_sso",
    "cloudflared_dashboard_sso",
    "www",
];

/// Whether a name can own a record, and means nothing else in a zone file.
pub fn is_host_name(name: &str) -> bool {
    let of_host = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let is_label =
        |label: &str| (1..=LONGEST_LABEL).contains(&label.len()) && label.bytes().all(of_host);
    name.len() <= LONGEST_NAME && name.split('.').all(is_label)
}

/// The names at which a record is looked for that does not be at the domain itself, in the order in which they are
/// told.
pub fn elsewhere(domain: &str) -> impl Iterator<Item = String> {
    PLACES_BELOW
        .into_iter()
        .chain([domain])
        .map(move |below| format!("{below}.{domain}"))
        .filter(|name| is_host_name(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_hosts_are_asked_for() {
        let long = format!("{}.example", "a".repeat(64));
        for bad in [
            "",
            ".",
            "a..example",
            "a b.example",
            "a.example.",
            "é.example",
            &long,
        ] {
            assert!(!is_host_name(bad), "{bad}");
        }
        for good in [
            "a.example",
            "_cloudflare.a.example",
            "xn--9ca.example",
            "localhost",
        ] {
            assert!(is_host_name(good), "{good}");
        }
    }

    #[test]
    fn a_record_is_looked_for_at_few_other_places() {
        let names: Vec<_> = elsewhere("a.example").collect();
        assert_eq!(
            names,
            [
                "_cloudflare.a.example",
                "_cloudflare_dashboard_sso.a.example",
                "cloudflare_dashboard_sso.a.example",
                "cloudflared_dashboard_sso.a.example",
                "www.a.example",
                "a.example.a.example",
            ]
        );
        let long = ["a".repeat(60).as_str(); 4].join(".");
        assert!(elsewhere(&long).all(|name| name.len() <= 253));
    }
}
