//! `--organization`: every organization under it, and what of them cannot be listed.

use serde_json::{Value, json};

use crate::support::*;

/// The global key of the tests: of the right form, and no secret.
const KEY: &str = "cfk_0123456789abcdefghijklmnopqrstuvwxyzABCDKEY00001";
const EMAIL: &str = "auditor@example.com";

/// An organization: its id, the one that it lies under, the numbers of its accounts.
type Node = (&'static str, &'static str, &'static [usize]);

/// Four organizations on three levels; account 3 is attached to two of them.
const TREE: [Node; 4] = [
    ("root", "", &[1, 2, 3]),
    ("north", "root", &[3, 4]),
    ("south", "root", &[5]),
    ("deep", "north", &[6, 7]),
];

/// What a request asks of an organization.
#[derive(Debug, PartialEq)]
enum Asked {
    /// Its accounts.
    Accounts(String),
    /// The organizations right under it.
    Under(String),
    /// Something else.
    Other,
}

fn asked(request: &Request) -> Asked {
    let (path, _) = request.path.split_once('?').unwrap_or((&request.path, ""));
    let rest = path.strip_prefix("/client/v4/organizations");
    match rest.and_then(|rest| rest.strip_suffix("/accounts")) {
        Some(id) => Asked::Accounts(id.trim_start_matches('/').to_owned()),
        None if rest == Some("") => {
            Asked::Under(request.parameter("parent.id").unwrap().to_owned())
        }
        None => Asked::Other,
    }
}

/// A page of two.
fn page(request: &Request, items: &[Value]) -> Reply {
    assert_eq!(request.parameter("page_size"), Some("1000"));
    let from = request
        .parameter("page_token")
        .map_or(0, |token| token.trim_start_matches('p').parse().unwrap());
    let shown: Vec<_> = items.iter().skip(from).take(2).collect();
    let mut info = json!({"total_size": items.len()});
    if from + 2 < items.len() {
        info["next_page_token"] = json!(format!("p{}", from + 2));
    }
    enveloped(json!(shown), info)
}

/// What a tree answers; accounts have a connector that no rule speaks of.
fn answer_of(tree: &[Node], request: &Request) -> Reply {
    match asked(request) {
        Asked::Accounts(id) => {
            let node = tree.iter().find(|node| node.0 == id);
            let accounts = node.map_or(&[][..], |node| node.2).iter();
            let account = |n: &usize| json!({"id": id_of(*n), "name": format!("Account {n}")});
            page(request, &accounts.map(account).collect::<Vec<_>>())
        }
        Asked::Under(parent) => {
            let under = tree.iter().filter(|node| node.1 == parent);
            let organization = |node: &Node| {
                json!({"id": node.0, "name": format!("The {}", node.0), "create_time": "2025-01-01T00:00:00Z",
                       "meta": {}, "parent": {"id": node.1, "name": format!("The {}", node.1)}})
            };
            page(request, &under.map(organization).collect::<Vec<_>>())
        }
        Asked::Other => {
            let number = request.number();
            success(json!([connector(number, &format!("d{number}.example"))]))
        }
    }
}

fn id_of(number: usize) -> String {
    id(number)
}

/// A server of the tree that answers some requests otherwise.
fn tree(otherwise: impl Fn(&Request) -> Option<Reply> + Send + Sync + 'static) -> Server {
    Server::start(move |request| otherwise(request).unwrap_or_else(|| answer_of(&TREE, request)))
}

/// A server of the whole tree.
pub fn whole_tree() -> Server {
    tree(|_| None)
}

fn refused() -> Reply {
    failure(403, 10000, "Authentication error")
}

/// Refuses one list.
fn refusing(list: Asked) -> Server {
    tree(move |request| (asked(request) == list).then(refused))
}

fn audit_root(server: &Server) -> Program {
    audit(server).args(["--organization", "root"])
}

/// The requests for lists of organizations.
fn lists(server: &Server) -> Vec<Request> {
    let mut requests = server.requests();
    requests.retain(|request| asked(request) != Asked::Other);
    requests
}

/// What `report.json` says of each organization: level, id, accounts, lists that are not whole.
fn shown(json: &Value) -> Vec<String> {
    let tree = json["coverage"]["organizations"]["tree"].as_array();
    let line = |o: &Value| {
        let unlisted = o["unlisted"].as_array().unwrap().iter();
        let unlisted: Vec<_> = unlisted.map(|u| u["list"].as_str().unwrap()).collect();
        let id = o["id"].as_str().unwrap();
        format!(
            "{} {id} {} {}",
            o["level"],
            o["accounts"],
            unlisted.join("+")
        )
        .trim_end()
        .to_owned()
    };
    tree.unwrap().iter().map(line).collect()
}

#[test]
fn every_level_and_every_page_is_read_and_each_account_once() {
    let server = whole_tree();
    let outcome = audit_root(&server).run().expect(0).prints(&[
        "4 organizations, 7 accounts:\n",
        "\n  The root (root): 3 accounts\n    The north (north): 2 accounts\n      The deep (deep): 2 accounts\n    The south (south): 1 account\n",
    ]);
    outcome.keeps_silent_about("more than once");
    let outcome = audit_root(&server).run().expect(0);
    assert_eq!(outcome.column("accounts.csv", "account_id"), {
        let order = [1, 2, 3, 4, 5, 6, 7];
        order.map(id_of).to_vec()
    });
    let json = outcome.json();
    assert_eq!(
        json["coverage"]["organizations"]["sentence"],
        "4 organizations, 7 accounts"
    );
    assert_eq!(
        shown(&json),
        ["0 root 3", "1 north 2", "2 deep 2", "1 south 1"]
    );
    assert_eq!(
        json["coverage"]["organizations"]["tree"][1]["parent"],
        "root"
    );
    let page = outcome.text("report.html");
    assert!(page.contains("4 organizations, 7 accounts") && page.contains("The deep"));
    let header = outcome.evidence_header();
    assert_eq!(header["organizations"].as_array().unwrap().len(), 4);
    // Once for each page: 8 lists, one of which has two.
    server.now(|request| answer_of(&TREE, request));
    audit_root(&server).run().expect(0);
    assert_eq!(lists(&server).len(), 9);
}

#[test]
fn an_organization_under_another_that_was_named_is_listed_once() {
    let server = whole_tree();
    let outcome = audit(&server)
        .args(["--organization", "north", "--organization", "root"])
        .run()
        .expect(0);
    assert_eq!(outcome.csv("accounts.csv").len(), 7);
    assert_eq!(
        shown(&outcome.json()),
        ["0 root 3", "1 north 2", "2 deep 2", "1 south 1"]
    );
    assert_eq!(lists(&server).len(), 9);
}

#[test]
fn a_list_that_is_refused_is_a_gap_everywhere_and_outranks_findings() {
    for (list, word, what, accounts) in [
        (
            Asked::Accounts("south".to_owned()),
            "accounts",
            "organization The south (south): its accounts cannot be listed (auth, code 10000)",
            6,
        ),
        (
            Asked::Under("north".to_owned()),
            "organizations",
            "organization The north (north): the organizations under it cannot be listed (auth, code 10000)",
            5,
        ),
    ] {
        let server = refusing(list);
        let parts = [
            what,
            "only for an e-mail address with a global API key",
            "not yet fully available",
            "--accounts-file",
        ];
        let outcome = audit_root(&server)
            .args(["--fail-on", "low"])
            .run()
            .expect(3)
            .says(&parts)
            .prints(&parts)
            .prints(&["the list of accounts is incomplete", ", incomplete\n"]);
        assert_eq!(outcome.csv("accounts.csv").len(), accounts);
        let json = outcome.json();
        assert_eq!(json["coverage"]["whole"], false);
        let gap = json["coverage"]["gaps"][0].as_str().unwrap();
        assert!(parts.iter().all(|part| gap.contains(part)), "{gap}");
        let tree = shown(&json);
        assert_eq!(tree.iter().filter(|line| line.ends_with(word)).count(), 1);
        let page = outcome.text("report.html");
        assert!(page.contains(what) && page.contains("global API key"));

        // The gap is part of the evidence.
        let dir = outcome.run_dir();
        let again = program("render")
            .arg(&dir)
            .args(["-o", "again"])
            .run()
            .expect(3)
            .prints(&[what]);
        drop(again);
    }
}

#[test]
fn a_run_that_is_resumed_keeps_the_gap_and_lists_nothing_again() {
    let server = tree(|request| match asked(request) {
        Asked::Accounts(id) if id == "south" => Some(refused()),
        Asked::Other if request.number() > 2 => Some(Reply::Hang),
        _ => None,
    });
    let dir = shared_dir();
    program_in(&dir, "audit")
        .at(&server)
        .args(["--organization", "root"])
        .killed_after(2);
    server.now(|request| answer_of(&TREE, request));
    let outcome = program_in(&dir, "audit")
        .at(&server)
        .arg("--resume")
        .run()
        .expect(3)
        .prints(&["organization The south (south): its accounts cannot be listed"]);
    assert_eq!(lists(&server).len(), 0);
    assert_eq!(shown(&outcome.json())[3], "1 south 0 accounts");
}

#[test]
fn a_token_that_is_refused_outright_is_told_what_is_documented_and_what_works() {
    let server = tree(|request| (asked(request) != Asked::Other).then(refused));
    let outcome = audit_root(&server).run().expect(1).says(&[
        "no account of an organization can be listed",
        "organization root: its accounts and the organizations under it cannot be listed (auth, code 10000): Authentication error\n",
        "hint: Cloudflare documents lists of organizations only for an e-mail address with a global API key",
        "--accounts-file",
        "set CLOUDFLARE_EMAIL and CLOUDFLARE_API_KEY",
    ]);
    assert_eq!(std::fs::read_dir(outcome.reports()).unwrap().count(), 0);

    // Beside accounts that are named, it is a gap; and it says nothing of what else the token may do.
    let outcome = audit(&server)
        .args(["--organization", "root", "--organization", "north", &id(9)])
        .run()
        .expect(3);
    assert_eq!(outcome.account(&id(9))["outcome"], "read");
    assert_eq!(
        outcome.json()["coverage"]["gaps"].as_array().unwrap().len(),
        2
    );
}

#[test]
fn an_organization_without_any_account_proves_nothing() {
    let server = tree(|request| (asked(request) != Asked::Other).then(|| success(json!([]))));
    audit_root(&server)
        .run()
        .expect(1)
        .says(&["does not prove that there are none"]);
    // One that is empty, above others that are not, is nothing to speak of; null is an empty page.
    let server = tree(|request| match asked(request) {
        Asked::Accounts(id) if id == "root" => Some(success(Value::Null)),
        Asked::Under(id) if id == "deep" => Some(success(Value::Null)),
        _ => None,
    });
    let outcome = audit_root(&server).run().expect(0);
    assert_eq!(outcome.csv("accounts.csv").len(), 5);
    // A list without a result is none.
    let server = tree(|request| {
        let is_it = asked(request) == Asked::Under("deep".to_owned());
        is_it.then(|| answer(200, r#"{"success":true,"errors":[],"messages":[]}"#))
    });
    audit_root(&server).run().expect(3).says(&["no `result`"]);
}

#[test]
fn a_loop_ends_and_is_told() {
    let server = tree(|request| {
        let is_it = asked(request) == Asked::Under("deep".to_owned());
        is_it.then(|| success(json!([{"id": "root", "name": "Root"}, {"id": "south"}])))
    });
    let outcome = audit_root(&server).run().expect(3).says(&[
        "organization The deep (deep): the organizations under it cannot be relied on (malformed): it names root, which it is below itself: a loop",
        "it names south, which is also below root",
    ]);
    assert_eq!(outcome.csv("accounts.csv").len(), 7);
    assert_eq!(lists(&server).len(), 9);
}

#[test]
fn a_list_that_takes_no_notice_of_the_parent_leads_nowhere_else() {
    let everything = [
        json!({"id": "root", "parent": null}),
        json!({"id": "north", "parent": {"id": "root"}}),
        json!({"id": "alien", "parent": {"id": "elsewhere"}}),
    ];
    let server = tree(move |request| match asked(request) {
        Asked::Under(_) => Some(success(json!(everything))),
        _ => None,
    });
    let outcome = audit_root(&server)
        .run()
        .expect(3)
        .says(&["say they belong to another organization", "alien"]);
    assert!(
        lists(&server)
            .iter()
            .all(|request| !request.path.contains("/alien/"))
    );
    assert_eq!(shown(&outcome.json()).len(), 2);
}

#[test]
fn an_id_that_leads_elsewhere_is_not_followed() {
    let server = tree(|request| {
        let is_it = asked(request) == Asked::Under("deep".to_owned());
        is_it.then(|| success(json!([{"id": ".."}, {"id": "a/b"}, {"id": null}, 7])))
    });
    audit_root(&server)
        .run()
        .expect(3)
        .says(&["\"..\", which is not an organization ID", "\"a/b\""]);
    audit(&server)
        .args(["--organization", "../accounts"])
        .run()
        .expect(1)
        .says(&["it is not an organization ID"]);
}

#[test]
fn pages_that_name_a_next_one_for_ever_end() {
    // The same page again, and ever new items behind the same token.
    let again = tree(|request| {
        let is_it = asked(request) == Asked::Under("south".to_owned());
        is_it.then(|| enveloped(json!([{"id": "new"}]), json!({"next_page_token": "x"})))
    });
    audit_root(&again)
        .run()
        .expect(3)
        .says(&["organization The south (south): the organizations under it are not all listed (incomplete-list): a page contains no new organization"]);
    let new = tree(|request| {
        let is_it = asked(request) == Asked::Accounts("south".to_owned());
        is_it.then(|| {
            let is_next = usize::from(request.parameter("page_token").is_some());
            let account = json!({"id": id_of(100 + request.earlier + is_next)});
            enveloped(json!([account]), json!({"next_page_token": "x"}))
        })
    });
    let outcome = audit_root(&new)
        .run()
        .expect(3)
        .says(&["its accounts are not all listed (incomplete-list): a page points to one that was already read"]);
    assert_eq!(outcome.csv("accounts.csv").len(), 8);
}

#[test]
fn what_a_page_brought_is_kept_where_the_next_one_fails() {
    let server = tree(|request| {
        let is_it = asked(request) == Asked::Accounts("root".to_owned());
        let is_second = request.parameter("page_token").is_some();
        (is_it && is_second).then(|| failure(500, 1, "Internal error"))
    });
    let outcome = audit_root(&server)
        .args(["--retries", "1"])
        .run()
        .expect(3)
        .says(&["organization The root (root): its accounts cannot be listed (server, code 1)"]);
    assert_eq!(shown(&outcome.json())[0], "0 root 2 accounts");
    assert_eq!(outcome.csv("accounts.csv").len(), 7);
}

#[test]
fn levels_are_gone_down_so_far_and_no_further() {
    let server = tree(|request| match asked(request) {
        Asked::Under(parent) => {
            let level: usize = parent.trim_start_matches("root").parse().unwrap_or(0);
            Some(success(json!([{"id": format!("root{}", level + 1)}])))
        }
        _ => None,
    });
    let outcome = audit_root(&server)
        .run()
        .expect(3)
        .says(&["1 organization more than 10 levels down, not listed"]);
    assert_eq!(shown(&outcome.json()).len(), 10);
}

#[test]
fn the_key_is_used_for_the_two_lists_and_stands_nowhere() {
    let server = tree(|request| match asked(request) {
        Asked::Other => {
            // Repeated by an answer to the token, in a domain that every table shows, and in a header.
            let number = request.number();
            let reply = success(json!([connector(
                number,
                &format!("{KEY}.d{number}.example")
            )]));
            Some(reply.with("cf-ray", KEY))
        }
        Asked::Accounts(id) if id == "south" => Some(failure(
            403,
            10000,
            &format!("Authentication error of {KEY}"),
        )),
        Asked::Under(id) if id == "deep" => Some(success(
            json!([{"id": "last", "name": format!("Named {KEY}")}]),
        )),
        _ => None,
    });
    let outcome = audit_root(&server)
        .env("CLOUDFLARE_EMAIL", EMAIL)
        .env("CLOUDFLARE_API_KEY", KEY)
        .arg("-vvv")
        .run()
        .expect(3)
        .says(&[
            "using CLOUDFLARE_EMAIL and CLOUDFLARE_API_KEY to list organizations and their accounts, and for nothing else",
            "check CLOUDFLARE_EMAIL and CLOUDFLARE_API_KEY",
            "Authentication error of [token]",
        ]);
    assert!(!server.requests().is_empty());
    for request in server.requests() {
        let by_key = asked(&request) != Asked::Other;
        let email = by_key.then_some(EMAIL);
        assert_eq!(request.header("x-auth-email"), email, "{}", request.path);
        assert_eq!(request.header("x-auth-key"), by_key.then_some(KEY));
        assert_eq!(request.header("authorization").is_some(), !by_key);
    }
    for (name, bytes) in outcome.everything() {
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains(KEY), "the key stands in {name}");
        assert!(!text.contains("X-Auth-Key: "), "{name}");
    }
}

#[test]
fn a_resumed_run_keeps_the_key_out_of_what_is_repeated_later() {
    let server = tree(|request| match asked(request) {
        Asked::Other if request.number() > 2 => Some(Reply::Hang),
        _ => None,
    });
    let dir = shared_dir();
    let begin = |arguments: &[&str]| {
        program_in(&dir, "audit")
            .at(&server)
            .env("CLOUDFLARE_EMAIL", EMAIL)
            .env("CLOUDFLARE_API_KEY", KEY)
            .args(arguments)
    };
    begin(&["--organization", "root"]).killed_after(2);
    server.now(|request| {
        success(json!([connector(
            request.number(),
            &format!("{KEY}.example")
        )]))
    });
    let outcome = begin(&["--resume"]).run();
    for (name, bytes) in outcome.everything() {
        assert!(!String::from_utf8_lossy(&bytes).contains(KEY), "{name}");
    }
    assert!(
        server
            .requests()
            .iter()
            .all(|r| r.header("x-auth-key").is_none())
    );
}

#[test]
fn one_of_the_two_variables_alone_is_told_and_not_used() {
    let server = whole_tree();
    audit_root(&server)
        .env("CLOUDFLARE_API_KEY", KEY)
        .env("CLOUDFLARE_EMAIL", " ")
        .run()
        .expect(0)
        .says(&["CLOUDFLARE_API_KEY is set but CLOUDFLARE_EMAIL is not: listing organizations with the token"]);
    assert!(
        server
            .requests()
            .iter()
            .all(|r| r.header("x-auth-key").is_none())
    );
    // Without an organization nobody asks for the key.
    audit(&server)
        .arg(id(1))
        .env("CLOUDFLARE_EMAIL", EMAIL)
        .env("CLOUDFLARE_API_KEY", KEY)
        .run()
        .expect(0)
        .keeps_silent_about("CLOUDFLARE_API_KEY");
}

#[test]
fn the_keys_requests_count_against_the_rate_as_the_tokens_do() {
    let server = whole_tree();
    audit_root(&server)
        .env("CLOUDFLARE_EMAIL", EMAIL)
        .env("CLOUDFLARE_API_KEY", KEY)
        .args(["--rate", "9/1s"])
        .run()
        .expect(0);
    let requests = server.requests();
    let lists = lists(&server);
    let last_list = lists.iter().map(|request| request.at).max().unwrap();
    let others = requests.iter().filter(|r| asked(r) == Asked::Other);
    let first = others.map(|request| request.at).min().unwrap();
    assert_eq!(lists.len(), 9);
    assert!(
        (first - last_list).as_millis() >= 900,
        "both are one user's"
    );
}

#[test]
fn an_account_that_a_list_with_a_gap_no_longer_names_is_not_removed() {
    let server = whole_tree();
    let dir = shared_dir();
    let night = |day: i64| {
        program_in(&dir, "audit")
            .at(&server)
            .args(["--organization", "root"])
            .on_day(day)
    };
    let removed = |outcome: &Outcome| {
        let changes = outcome.csv("changes.csv");
        let is_it = |row: &&Row| row["kind"] == "account-removed";
        let mut ids: Vec<_> = changes
            .iter()
            .filter(is_it)
            .map(|row| row["account_id"].clone())
            .collect();
        ids.sort();
        ids
    };
    night(0).run().expect(0);
    server.now(|request| match asked(request) {
        Asked::Under(id) if id == "north" => refused(),
        _ => answer_of(&TREE, request),
    });
    let outcome = night(1).run().expect(3);
    assert_eq!(outcome.csv("accounts.csv").len(), 5);
    assert_eq!(removed(&outcome), Vec::<String>::new());
    // Read whole, it no longer names them: they are removed, once.
    server.now(|request| match asked(request) {
        Asked::Under(id) if id == "north" => success(json!([])),
        _ => answer_of(&TREE, request),
    });
    let outcome = night(2).run().expect(0);
    assert_eq!(removed(&outcome), [id(6), id(7)]);
    assert_eq!(removed(&night(3).run().expect(0)), Vec::<String>::new());
}

#[test]
fn the_list_of_an_organizations_accounts_goes_down_too() {
    let server = whole_tree();
    let list = program("accounts")
        .at(&server)
        .args(["--organization", "root"])
        .env("CLOUDFLARE_EMAIL", EMAIL)
        .env("CLOUDFLARE_API_KEY", KEY)
        .run()
        .expect(0);
    assert_eq!(list.stdout.lines().count(), 8);
    let server = refusing(Asked::Accounts("south".to_owned()));
    let list = program("accounts")
        .at(&server)
        .args(["--organization", "root"])
        .run()
        .expect(3)
        .says(&["organization The south (south): its accounts cannot be listed"]);
    assert_eq!(list.stdout.lines().count(), 7);
}
