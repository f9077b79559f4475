//! Whether records are in DNS: against a real name server, and against ones that misbehave.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command};

use serde_json::{Value, json};

use crate::support::*;

/// A connector whose domain is not verified.
fn unverified(number: usize, domain: &str) -> Value {
    let code = code(number);
    connector_with(
        number,
        domain,
        json!({"enabled": false, "verification": {"code": code, "status": "failed"}}),
    )
}

/// Such a connector for each of these names below `example`, numbered from 1.
fn all_unverified(names: &[&str]) -> Value {
    let connectors = names.iter().enumerate();
    connectors
        .map(|(index, name)| unverified(index + 1, &format!("{name}.example")))
        .collect()
}

/// The code of the connector with a number.
fn code(number: usize) -> String {
    format!("cloudflare_dashboard_sso={}", connector_id(number))
}

/// An audit of one account with these connectors, which asks a resolver.
fn checked(nights: &Nights, day: i64, resolvers: &[&str]) -> Program {
    let mut program = nights.night(day).args([
        "--check-dns",
        "--dns-timeout",
        "300ms",
        "--dns-rate",
        "1000/1s",
    ]);
    for resolver in resolvers {
        program = program.args(["--resolver", resolver]);
    }
    program
}

/// `dns_txt` of each connector by its domain, as the report on all connectors has it.
fn records(outcome: &Outcome) -> BTreeMap<String, String> {
    let rows = outcome.csv("dns_records.csv").into_iter();
    rows.map(|row| (row["email_domain"].clone(), row["dns_txt"].clone()))
        .collect()
}

/// The files of a folder by their names, with their checksums.
fn sums(folder: &Path) -> Vec<(String, String)> {
    let name = |path: &str| path.rsplit('/').next().unwrap().to_owned();
    let files = contents(folder).into_iter();
    files
        .map(|(path, bytes)| (name(&path), cf_sso_audit::text::sha256_hex(&bytes)))
        .collect()
}

/// The findings about DNS, by rule and domain.
fn dns_findings(outcome: &Outcome) -> Vec<String> {
    let rules = ["txt-missing", "txt-published", "foreign-code"];
    let rows = outcome.csv("findings.csv").into_iter();
    let about_dns = rows.filter(|row| rules.contains(&row["rule"].as_str()));
    let mut found: Vec<_> = about_dns
        .map(|row| {
            format!(
                "{} {} {}",
                row["rule"], row["severity"], row["email_domain"]
            )
        })
        .collect();
    found.sort();
    found
}

/// What is changed, by kind, domain, rule and cause.
fn changes(outcome: &Outcome) -> Vec<String> {
    outcome.lines("changes.csv", |row| {
        format!(
            "{} {} {} ({})",
            row["kind"], row["email_domain"], row["what"], row["cause"]
        )
    })
}

// ---------------------------------------------------------------- a real one

/// NSD with a zone. It ends with the test.
struct Nsd {
    child: Child,
    address: String,
}

impl Drop for Nsd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Nsd {
    /// Serves a zone `example.`; `None` where the machine has no NSD.
    fn with_zone(dir: &Path, records: &str) -> Option<Self> {
        let (listener, socket) = both_on_one_port();
        let port = socket.local_addr().unwrap().port();
        drop((listener, socket));
        let zone = format!(
            "$ORIGIN example.\n$TTL 60\n@ SOA ns host 1 3600 600 86400 60\n@ NS ns\nns A 127.0.0.1\n{records}"
        );
        fs::write(dir.join("example.zone"), zone).unwrap();
        let place = dir.display();
        let config = format!(
            "server:\n  ip-address: 127.0.0.1@{port}\n  username: \"\"\n  zonesdir: \"{place}\"\n  pidfile: \"\"\n  database: \"\"\n  \
             xfrdfile: \"{place}/xfrd.state\"\n  zonelistfile: \"{place}/zone.list\"\n  logfile: \"{place}/nsd.log\"\n  server-count: 1\n\
             remote-control:\n  control-enable: no\nzone:\n  name: example\n  zonefile: example.zone\n"
        );
        let path = dir.join("nsd.conf");
        fs::write(&path, config).unwrap();
        let program = ["/usr/sbin/nsd", "nsd"];
        let started = program.into_iter().find_map(|program| {
            let mut command = Command::new(program);
            command.arg("-d").arg("-c").arg(&path).spawn().ok()
        });
        let Some(child) = started else {
            not_tried("there is no nsd; .ci/run installs it");
            return None;
        };
        let nsd = Self {
            child,
            address: format!("127.0.0.1:{port}"),
        };
        wait_until("nsd answers", || {
            std::net::TcpStream::connect(&nsd.address).is_ok()
        });
        Some(nsd)
    }
}

#[test]
fn a_real_name_server_tells_every_case_apart() {
    let dir = tempfile::tempdir().unwrap();
    let value = connector_id;
    let many: String = (0..80)
        .map(|n| format!("many TXT \"some-service-verification={n:040}\"\n"))
        .collect();
    let zone = [
        format!("right TXT \"{}\"\nright TXT \"v=spf1 -all\"\n", code(1)),
        format!("split TXT \"cloudflare_dashboard\" \"_sso={}\"\n", value(2)),
        format!("{many}many TXT \"{}\"\n", code(3)),
        format!("alias CNAME target\ntarget TXT \"{}\"\n", code(4)),
        format!("xn--bcher-kva TXT \"{}\"\n", code(5)),
        format!("upper TXT \"{}\"\n", code(6)),
        format!(
            "long TXT \"{}\"\nlong TXT {}\n",
            code(7),
            "\"x23456789\" ".repeat(300)
        ),
        "different TXT \"cloudflare_dashboard_sso=other\"\n".to_owned(),
        format!("guide TXT \"cloudflared_dashboard_sso={}\"\n", value(9)),
        format!("quotes TXT \"\\\"{}\\\"\"\n", code(10)),
        format!("blanks TXT \" {} \"\n", code(11)),
        format!("bare TXT \"{}\"\n", value(12)),
        format!(
            "place A 192.0.2.1\n_cloudflare.place TXT \"{}\"\n",
            code(13)
        ),
        format!("www.web TXT \"{}\"\nweb A 192.0.2.1\n", code(14)),
        format!(
            "sso A 192.0.2.1\ncloudflare_dashboard_sso.sso TXT \"{}\"\n",
            value(15)
        ),
        format!(
            "twice A 192.0.2.1\ntwice.example.twice TXT \"{}\"\n",
            code(16)
        ),
        "absent A 192.0.2.1\n".to_owned(),
        "dangling CNAME nowhere\n".to_owned(),
        format!("*.wild TXT \"{}\"\n", code(20)),
        "binary TXT \"\\200\\201\\000x\"\n".to_owned(),
    ]
    .concat();
    let Some(nsd) = Nsd::with_zone(dir.path(), &zone) else {
        return;
    };
    let domains = [
        ("right.example", "match"),
        ("split.example", "match"),
        ("many.example", "match"),
        ("alias.example", "match"),
        ("bücher.example", "match"),
        ("UPPER.Example.", "match"),
        ("long.example", "match"),
        ("different.example", "different"),
        ("guide.example", "misspelt"),
        ("quotes.example", "misspelt"),
        ("blanks.example", "misspelt"),
        ("bare.example", "misspelt"),
        ("place.example", "misplaced"),
        ("web.example", "misplaced"),
        ("sso.example", "misplaced"),
        ("twice.example", "misplaced"),
        ("absent.example", "absent"),
        ("dangling.example", "absent"),
        ("gone.example", "nxdomain"),
        ("any.wild.example", "match"),
        ("binary.example", "absent"),
        // Not its own: it refuses.
        ("else.where", "unknown"),
        ("not a domain", "unknown"),
    ];
    let connectors = domains.iter().enumerate();
    let connectors: Value = connectors
        .map(|(index, (domain, _))| unverified(index + 1, domain))
        .collect();
    let nights = Nights::of(&[(1, connectors)]);
    let outcome = checked(&nights, 0, &[&nsd.address]).run().expect(0);
    let expected: BTreeMap<_, _> = domains
        .iter()
        .map(|(domain, txt)| ((*domain).to_owned(), (*txt).to_owned()))
        .collect();
    assert_eq!(records(&outcome), expected);
    // The report on unverified domains says the same.
    for row in outcome.csv("unverified_domains.csv") {
        assert_eq!(row["dns_txt"], expected[&row["email_domain"]]);
    }
    insta::assert_snapshot!(dns_findings(&outcome).join("\n"));
    let remedies = outcome.lines("findings.csv", |row| {
        let is_it = row["rule"] == "unverified-domain";
        if is_it {
            row["remediation"].clone()
        } else {
            String::new()
        }
    });
    insta::assert_snapshot!(remedies.join("\n"));
    assert_eq!(outcome.json()["dns"]["connectors"]["match"], 8);
}

#[test]
fn a_report_is_rendered_again_without_dns() {
    let dir = tempfile::tempdir().unwrap();
    let zone = format!(
        "a TXT \"{}\"\nb A 192.0.2.1\nwww.b TXT \"{}\"\n",
        code(1),
        code(2)
    );
    let Some(nsd) = Nsd::with_zone(dir.path(), &zone) else {
        return;
    };
    let list = json!([
        unverified(1, "a.example"),
        unverified(2, "b.example"),
        connector(3, "c.example")
    ]);
    let nights = Nights::of(&[(1, list)]);
    let outcome = checked(&nights, 0, &[&nsd.address]).run().expect(0);
    let run = outcome.run_dir();
    check_sums(&run);
    let before = sums(&run);
    drop(nsd);
    render(&nights.dir, &run).run().expect(0);
    assert_eq!(sums(&run), before);
    // Elsewhere too, with what was looked up beside it.
    let elsewhere = nights.dir.path().join("elsewhere");
    let again = || {
        render(&nights.dir, &run)
            .arg("-o")
            .arg(&elsewhere)
            .run()
            .expect(0)
    };
    again();
    assert_eq!(sums(&elsewhere), before);
    again();
    assert_eq!(sums(&elsewhere), before);
    // Lookups that are not what the run wrote are not judged.
    let path = run.join("dns.jsonl");
    let altered = fs::read_to_string(&path)
        .unwrap()
        .replace("nxdomain", "nodata");
    fs::write(&path, altered).unwrap();
    render(&nights.dir, &run)
        .run()
        .expect(2)
        .says(&["dns.jsonl has changed"]);
}

#[test]
fn a_runs_evidence_is_looked_up_later() {
    let server = NameServer::new(|asked| match asked.name.as_str() {
        "a.example" => texts([&*code(1)]),
        _ => Says::NxDomain,
    });
    let nights = Nights::of(&[(
        1,
        json!([unverified(1, "a.example"), unverified(2, "b.example")]),
    )]);
    let outcome = nights.night(0).run().expect(0);
    let run = outcome.run_dir();
    assert!(!run.join("dns_records.csv").exists() && !run.join("dns.jsonl").exists());
    assert_eq!(
        outcome.column("unverified_domains.csv", "dns_txt"),
        ["", ""]
    );
    assert_eq!(outcome.json()["dns"], Value::Null);
    let before = sums(&run);
    let lookup = |program: Program| program.args(["--check-dns", "--resolver", &server.address()]);
    let own = lookup(render(&nights.dir, &run)).run().expect(2);
    own.says(&[
        "was made without DNS lookups, but would be made from new DNS lookups",
        "--output",
    ]);
    assert!(server.asked().is_empty());
    let elsewhere = nights.dir.path().join("elsewhere");
    lookup(render(&nights.dir, &run).arg("-o").arg(&elsewhere))
        .run()
        .expect(0);
    assert_eq!(sums(&run), before);
    check_sums(&elsewhere);
    let looked_up = rows(&fs::read(elsewhere.join("dns_records.csv")).unwrap(), b',');
    let found: Vec<_> = looked_up
        .iter()
        .map(|row| row["dns_txt"].as_str())
        .collect();
    assert_eq!(found, ["match", "nxdomain"]);
    // That report can be rendered again, and by new lookups only elsewhere.
    let again = sums(&elsewhere);
    render(&nights.dir, &elsewhere).run().expect(0);
    assert_eq!(sums(&elsewhere), again);
    // Without lookups once more: what is left of them goes.
    render(&nights.dir, &run)
        .arg("-o")
        .arg(&elsewhere)
        .run()
        .expect(0);
    assert_eq!(sums(&elsewhere), before);
}

// ---------------------------------------------------------------- ones that misbehave

#[test]
fn a_resolvers_trouble_is_no_finding_about_the_domain() {
    let server = NameServer::new(|asked| match asked.name.split('.').next().unwrap() {
        "servfail" => Says::Error(2),
        "refused" => Says::Error(5),
        "formerr" => Says::Error(1),
        "notimp" => Says::Error(4),
        "silent" => Says::Nothing,
        "referral" => Says::Referral,
        "other" => Says::TextsOf("victim.example".to_owned(), vec![code(7)]),
        "number" => Says::WrongNumber(vec![code(8)]),
        "garbage" => Says::Garbage(vec![0x81, 0x80, 0, 1, 0, 9, 255, 255, 255, 255, 192, 12]),
        "circle" => Says::Alias("circle2.example".to_owned()),
        "circle2" => Says::Alias("circle.example".to_owned()),
        "cut" => Says::Truncated,
        "another" if !asked.tcp => Says::Truncated,
        "another" => Says::ToAnother(vec![code(12)]),
        "nosuch" if !asked.tcp => Says::Truncated,
        "nosuch" => Says::NoSuchOther,
        "soon" if asked.earlier == 0 => Says::Error(2),
        "lost" if asked.earlier < 2 => Says::Nothing,
        "big" if !asked.tcp => Says::Truncated,
        "chain" => Says::Alias("target.example".to_owned()),
        "empty" => Says::NoData,
        _ => texts(["v=spf1 -all"]),
    });
    let bad = [
        "servfail", "refused", "formerr", "notimp", "silent", "referral", "other", "number",
        "garbage", "circle", "cut", "another", "nosuch",
    ];
    let good = ["soon", "lost", "big", "chain", "empty", "plain"];
    let names = || bad.into_iter().chain(good);
    let connectors: Value = names()
        .enumerate()
        .map(|(index, name)| unverified(index + 1, &format!("{name}.example")))
        .collect();
    let nights = Nights::of(&[(1, connectors)]);
    let outcome = checked(&nights, 0, &[&server.address()]).run().expect(0);
    let expected: BTreeMap<_, _> = names()
        .map(|name| {
            let txt = if bad.contains(&name) {
                "unknown"
            } else {
                "absent"
            };
            (format!("{name}.example"), txt.to_owned())
        })
        .collect();
    assert_eq!(records(&outcome), expected);
    let missing: Vec<_> = dns_findings(&outcome);
    assert_eq!(missing.len(), good.len(), "{missing:?}");
    // Why nobody knows is told.
    let details = outcome.csv("dns_records.csv").into_iter();
    let details: BTreeMap<_, _> = details
        .map(|row| (row["email_domain"].clone(), row["detail"].clone()))
        .collect();
    for (name, cause) in [
        ("servfail", "SERVFAIL"),
        ("refused", "REFUSED"),
        ("silent", "no answer in time"),
        ("referral", "is not a resolver"),
        ("circle", "aliases form a loop"),
    ] {
        let detail = &details[&format!("{name}.example")];
        assert!(detail.contains(cause), "{name}: {detail}");
    }
}

#[test]
fn two_resolvers_have_to_agree_that_a_record_is_not_there() {
    let answer = |first: bool| {
        NameServer::new(
            move |asked| match (asked.name.split('.').next().unwrap(), first) {
                ("both", _) => texts([&*code(1)]),
                ("one", true) => texts([&*code(2)]),
                ("other", false) => texts([&*code(3)]),
                ("neither", true) => Says::NxDomain,
                ("half", false) => Says::Error(2),
                ("seen", true) => texts([&*code(6)]),
                ("seen", false) => Says::Error(2),
                ("gone", _) => Says::NxDomain,
                _ => Says::NoData,
            },
        )
    };
    let (one, two) = (answer(true), answer(false));
    let names = ["both", "one", "other", "neither", "half", "seen", "gone"];
    let connectors = all_unverified(&names);
    let nights = Nights::of(&[(1, connectors)]);
    let outcome = checked(
        &nights,
        0,
        &[&one.address(), &two.address(), &one.address()],
    )
    .run()
    .expect(0);
    let found: Vec<_> = names
        .iter()
        .map(|name| records(&outcome)[&format!("{name}.example")].clone())
        .collect();
    assert_eq!(
        found,
        [
            "match", "unknown", "unknown", "absent", "unknown", "match", "nxdomain"
        ]
    );
    // A third is in for one that does not answer, and nobody is asked for nothing.
    let third = NameServer::new(|_| Says::NoData);
    let dead = NameServer::new(|_| Says::Error(2));
    let resolvers = [&*dead.address(), &*two.address(), &*third.address()];
    nights.set(1, json!([unverified(1, "a.example")]));
    let outcome = checked(&nights, 1, &resolvers).run().expect(0);
    assert_eq!(records(&outcome)["a.example"], "absent");
}

#[test]
fn no_resolver_at_all_is_a_warning_and_no_finding() {
    let silent = NameServer::new(|_| Says::Nothing);
    let count = 60;
    let connectors: Value = (1..=count)
        .map(|n| unverified(n, &format!("d{n}.example")))
        .collect();
    let nights = Nights::of(&[(1, connectors)]);
    let outcome = checked(&nights, 0, &[&silent.address()])
        .run()
        .expect(0)
        .says(&[
            "does not answer and will not be queried again",
            "no resolver answered for any of 60 names",
        ]);
    assert!(records(&outcome).values().all(|txt| txt == "unknown"));
    assert!(dns_findings(&outcome).is_empty());
    assert_eq!(
        outcome.json()["dns"]["connectors"],
        json!({"unknown": count})
    );
}

#[test]
fn each_domain_is_asked_for_once_and_other_names_only_where_that_helps() {
    let server = NameServer::new(|asked| match asked.name.as_str() {
        "verified.example" | "missing.example" => Says::NoData,
        "right.example" => texts([&*code(3)]),
        _ => Says::NxDomain,
    });
    let nights = Nights::of(&[
        (
            1,
            json!([
                connector(1, "verified.example"),
                unverified(2, "Missing.example")
            ]),
        ),
        (
            2,
            json!([
                unverified(3, "right.example"),
                unverified(2, "missing.example.")
            ]),
        ),
        (
            3,
            json!([unverified(4, "gone.example"), {"id": connector_id(9)}]),
        ),
    ]);
    checked(&nights, 0, &[&server.address()]).run().expect(0);
    let mut asked: Vec<_> = server.asked().into_iter().map(|asked| asked.name).collect();
    asked.sort();
    let expected = [
        "_cloudflare.missing.example",
        "_cloudflare_dashboard_sso.missing.example",
        "cloudflare_dashboard_sso.missing.example",
        "cloudflared_dashboard_sso.missing.example",
        "gone.example",
        "missing.example",
        "missing.example.missing.example",
        "right.example",
        "verified.example",
        "www.missing.example",
    ];
    assert_eq!(asked, expected);
}

// ---------------------------------------------------------------- over time

#[test]
fn nobody_looking_or_knowing_resolves_nothing_and_makes_nothing_new() {
    let world = std::sync::Arc::new(std::sync::Mutex::new(Says::NoData));
    let says = std::sync::Arc::clone(&world);
    let server = NameServer::new(move |_| says.lock().unwrap().clone());
    let set = |says: Says| *world.lock().unwrap() = says;
    let nights = Nights::of(&[(1, json!([unverified(1, "a.example")]))]);
    let looked = |day| checked(&nights, day, &[&server.address()]).run().expect(0);
    let of_dns = |outcome: &Outcome| -> Vec<String> {
        let changes = changes(outcome).into_iter();
        changes.filter(|change| change.contains("txt-")).collect()
    };
    // Never looked before: that somebody looks now is what changed.
    nights.night(0).run().expect(0);
    assert_eq!(
        of_dns(&looked(1)),
        ["finding-new a.example txt-missing (coverage)"]
    );
    // A resolver that fails, and a night without lookups, leave it as it was.
    set(Says::Error(2));
    let failed = looked(2);
    assert_eq!(of_dns(&failed), [""; 0]);
    assert_eq!(failed.json()["totals"]["findings_not_judged"], 1);
    nights
        .night(3)
        .run()
        .expect(0)
        .prints(&["1 about DNS records that were not checked, or that no resolver answered for"]);
    // It is there still, and as old as it was.
    set(Says::NoData);
    let still = looked(4);
    assert_eq!(of_dns(&still), [""; 0]);
    let seen = still
        .csv("findings.csv")
        .into_iter()
        .find(|row| row["rule"] == "txt-missing")
        .unwrap();
    assert_eq!(
        (&*seen["change"], &seen["first_seen_utc"]),
        ("existing", &days(1))
    );
    // Published: resolved by what DNS holds.
    set(texts([&*code(1)]));
    // Nobody could look in the night between: what changed is what DNS holds, all the same.
    set(Says::Error(2));
    looked(5);
    set(texts([&*code(1)]));
    assert_eq!(
        of_dns(&looked(6)),
        [
            "finding-new a.example txt-published (dns)",
            "finding-resolved a.example txt-missing (dns)"
        ]
    );
    // Verified: by what Cloudflare says.
    nights.set(
        1,
        json!([connector_with(1, "a.example", json!({"enabled": false}))]),
    );
    assert_eq!(
        of_dns(&looked(7)),
        ["finding-resolved a.example txt-published (connector)"]
    );
    // A verified connector's record may go: information, and no finding.
    set(Says::NoData);
    let gone = looked(8);
    assert!(dns_findings(&gone).is_empty());
    assert_eq!(gone.json()["dns"]["verified_without_record"], 1);
    assert!(
        gone.text("report.html")
            .contains("their record is not published")
    );
}

/// The moment of a day, as files have it.
fn days(day: i64) -> String {
    let at = chrono::DateTime::from_timestamp(days_later(day).parse().unwrap(), 0).unwrap();
    at.format("%Y-%m-%d %H:%M:%S").to_string()
}

#[test]
fn a_foreign_code_is_a_lead_and_one_that_was_ever_seen_is_none() {
    let server = NameServer::new(|asked| match asked.name.as_str() {
        "a.example" => texts([&*code(1), &*code(2), "cloudflare_dashboard_sso=stranger"]),
        _ => Says::NoData,
    });
    let nights = Nights::of(&[
        (1, json!([connector(1, "a.example")])),
        (2, json!([disabled(2, "a.example")])),
    ]);
    let night = |day| checked(&nights, day, &[&server.address()]).run();
    let first = night(0).expect(0);
    assert_eq!(
        dns_findings(&first),
        ["foreign-code low a.example", "foreign-code low a.example"]
    );
    let row = first
        .csv("findings.csv")
        .into_iter()
        .find(|row| row["rule"] == "foreign-code")
        .unwrap();
    assert!(
        row["message"].contains("stranger") && !row["message"].contains(&code(2)),
        "{}",
        row["message"]
    );
    // An account that cannot be read tonight has the code still.
    nights.set(2, Value::Null);
    let second = night(1).expect(3);
    let messages = second.lines("findings.csv", |row| {
        format!("{}: {}", row["rule"], row["message"])
    });
    let foreign: Vec<_> = messages
        .iter()
        .filter(|message| message.starts_with("foreign"))
        .collect();
    assert!(
        foreign.len() == 1 && foreign[0].contains("1 code of"),
        "{foreign:?}"
    );
}

#[test]
fn a_slow_answer_over_tcp_holds_up_no_other() {
    let gate = Gate::default();
    let held = gate.clone();
    let server = NameServer::new(move |asked| {
        if asked.tcp && asked.name == "slow.example" {
            held.wait();
        }
        match asked.tcp {
            true => Says::NoData,
            false => Says::Truncated,
        }
    });
    let names = ["slow", "a", "b", "c", "d", "e"];
    let connectors: Value = names
        .iter()
        .enumerate()
        .map(|(index, name)| connector(index + 1, &format!("{name}.example")))
        .collect();
    let nights = Nights::of(&[(1, connectors)]);
    let outcome = checked(&nights, 0, &[&server.address()]).run().expect(0);
    gate.open();
    let unknown: Vec<_> = records(&outcome)
        .into_iter()
        .filter(|(_, txt)| txt == "unknown")
        .collect();
    assert_eq!(unknown, [("slow.example".to_owned(), "unknown".to_owned())]);
}

#[test]
fn a_code_of_a_connector_that_was_deleted_or_recreated_stays_known() {
    let server = NameServer::new(|asked| match asked.name.as_str() {
        "a.example" => texts([&*code(1), &*code(2), &*code(3)]),
        _ => Says::NoData,
    });
    let nights = Nights::of(&[(
        1,
        json!([connector(1, "a.example"), connector(2, "b.example")]),
    )]);
    let night = |day| checked(&nights, day, &[&server.address()]).run().expect(0);
    night(0);
    // The first is recreated with another code, the second deleted.
    nights.set(1, json!([connector(3, "a.example")]));
    for day in 1..4 {
        let outcome = night(day);
        assert_eq!(dns_findings(&outcome), [""; 0], "{day}");
    }
}

#[test]
fn lookups_that_are_gone_or_were_given_up_begin_nothing() {
    let server = NameServer::new(|_| Says::NxDomain);
    let nights = Nights::of(&[(1, json!([unverified(1, "a.example")]))]);
    let outcome = checked(&nights, 0, &[&server.address()]).run().expect(0);
    let run = outcome.run_dir();
    fs::remove_file(run.join("dns.jsonl")).unwrap();
    for command in ["fix", "render"] {
        let refused = program_in(&nights.dir, command).arg(&run).run().expect(2);
        refused.says(&["dns.jsonl is missing", "restore the file"]);
    }
    // A run that was resumed without asking further.
    let gate = Gate::default();
    let held = gate.clone();
    let slow = NameServer::new(move |_| {
        held.wait();
        Says::NxDomain
    });
    let running = nights
        .night(1)
        .args([
            "--check-dns",
            "--dns-timeout",
            "20s",
            "--resolver",
            &slow.address(),
        ])
        .spawn();
    wait_until("it asks", || !slow.asked().is_empty());
    running.signal("TERM");
    running.wait().expect(130).says(&["--check-dns"]);
    gate.open();
    let resumed = resume(&nights.dir, &nights.server).run().expect(0);
    assert_eq!(resumed.column("unverified_domains.csv", "dns_txt"), [""]);
    let plan = program_in(&nights.dir, "fix")
        .arg(resumed.run_dir())
        .arg("--json")
        .run()
        .expect(0)
        .stdout_json();
    assert_eq!(plan["steps"], json!([]), "{plan}");
    assert!(plan["unmended"].to_string().contains("was not checked"));
}

#[test]
fn an_interrupted_lookup_goes_on_and_asks_nothing_twice() {
    let gate = Gate::default();
    let held = gate.clone();
    let server = NameServer::new(move |asked| {
        if asked.name == "z.example" {
            held.wait();
        }
        Says::NxDomain
    });
    let nights = Nights::of(&[(
        1,
        json!([unverified(1, "a.example"), unverified(2, "z.example")]),
    )]);
    let with_dns = |program: Program| {
        program.args([
            "--check-dns",
            "--dns-timeout",
            "20s",
            "--resolver",
            &server.address(),
        ])
    };
    let running = with_dns(nights.night(0)).spawn();
    let lines = || {
        let partial = running.partial().join("dns.jsonl");
        fs::read_to_string(partial)
            .unwrap_or_default()
            .lines()
            .count()
    };
    wait_until("the first name is looked up", || lines() == 2);
    running.signal("TERM");
    running.wait().expect(130).says(&["--resume"]);
    gate.open();
    let asked = server.asked().len();
    let resumed = with_dns(resume(&nights.dir, &nights.server))
        .run()
        .expect(0);
    assert_eq!(
        records(&resumed).values().collect::<Vec<_>>(),
        ["nxdomain", "nxdomain"]
    );
    let since = server.asked().split_off(asked);
    assert!(
        since.iter().all(|asked| asked.name == "z.example"),
        "{since:?}"
    );
    check_sums(&resumed.run_dir());
}

#[test]
fn verification_is_begun_only_where_the_record_is_published() {
    let server = NameServer::new(|asked| match asked.name.as_str() {
        "right.example" => texts([&*code(1)]),
        "failing.example" => Says::Error(2),
        "www.www.example" => texts([&*code(4)]),
        "www.example" => Says::NoData,
        "spelt.example" => texts([&*connector_id(5)]),
        _ => Says::NxDomain,
    });
    let names = ["right", "missing", "failing", "www", "spelt"];
    let connectors = all_unverified(&names);
    let nights = Nights::of(&[(1, connectors)]);
    let outcome = checked(&nights, 0, &[&server.address()]).run().expect(0);
    let plan = program_in(&nights.dir, "fix")
        .arg(outcome.run_dir())
        .arg("--json")
        .run()
        .expect(0);
    let plan = plan.stdout_json();
    let steps = plan["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 1, "{plan}");
    assert_eq!(
        (&steps[0]["action"], &steps[0]["email_domain"]),
        (&json!("begin-verification"), &json!("right.example"))
    );
    insta::assert_snapshot!(
        serde_json::to_string_pretty(
            &json!({"unmended": plan["unmended"], "records": plan["records"]})
        )
        .unwrap()
    );
}

#[test]
fn bad_resolvers_are_told_before_anything_is_asked() {
    let nights = Nights::of(&[(1, json!([]))]);
    for bad in ["dns.example", "192.0.2.1:0", "0.0.0.0", ""] {
        let outcome = checked(&nights, 0, &[bad]).run().expect(2);
        outcome.says(&["--resolver", "a resolver looks like 192.0.2.53"]);
    }
    nights
        .night(0)
        .args(["--resolver", "192.0.2.53"])
        .run()
        .expect(2)
        .says(&["--check-dns"]);
    for rate in ["0/1s", "x"] {
        nights
            .night(0)
            .args(["--check-dns", "--dns-rate", rate])
            .run()
            .expect(2);
    }
    assert!(nights.server.requests().is_empty());
}
