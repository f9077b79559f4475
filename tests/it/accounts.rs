//! Where accounts come from.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::support::*;

/// A server at which every account has one connector of its own.
fn any_account() -> Server {
    Server::start(|request| {
        success(json!([connector(
            1,
            &format!("{}.example", &request.account()[20..])
        )]))
    })
}

#[test]
fn several_sources_are_merged_in_first_seen_order() {
    let server = any_account();
    let (a, b, c, d) = (id(1), id(2), id(3), id(4));
    let csv =
        format!("owner,account_id,account_name\nteam-b,{b},Bee\nteam-a,{a},Ay\nteam-d,{d},Dee\n");
    let program = audit(&server).args([&a, &c]);
    let outcome = program
        .accounts_file("one.csv", csv)
        .accounts_file("two.txt", format!("# mine\n\n{d} # again\n{}\n", id(5)))
        .run()
        .expect(0)
        .says(&[&format!(
            "2 accounts are named more than once; each is read once: {a}, {d}"
        )]);
    assert_eq!(
        outcome.column("accounts.csv", "account_id"),
        [a, c, b, d, id(5)]
    );
    assert_eq!(
        outcome.column("accounts.csv", "account_name"),
        ["Ay", "", "Bee", "Dee", ""]
    );
    assert_eq!(
        outcome.column("accounts.csv", "owner"),
        ["team-a", "", "team-b", "team-d", ""]
    );
    // Each is asked once, however often it is named.
    assert_eq!(server.asked(), ids(5));
}

#[test]
fn standard_input_is_a_source() {
    let server = any_account();
    let outcome = audit(&server)
        .args(["--accounts-file", "-"])
        .stdin(format!("account_id;account_name\r\n{};Ay\r\n", id(1)))
        .run()
        .expect(0);
    assert_eq!(outcome.account(&id(1))["account_name"], "Ay");
    assert_eq!(
        outcome.json()["run"]["sources"],
        json!(["standard input (1 account)"])
    );
}

#[test]
fn a_bad_id_among_good_ones_is_an_unread_account() {
    let server = any_account();
    let long = "a".repeat(33);
    let csv = format!(
        "account_id,account_name\n{},Good\nzz3e105f4ecef8ad9ca31a8372d0c353,Bad\n{long},Long\n,Empty\n",
        id(1)
    );
    let outcome = audit(&server)
        .accounts_file("accounts.csv", csv)
        .run()
        .expect(3);
    let rows = outcome.csv("accounts.csv");
    assert_eq!(rows.len(), 4);
    for (row, line) in rows[1..].iter().zip(3..) {
        assert_eq!(row["outcome"], "unread");
        assert_eq!(row["error_kind"], "invalid-id");
        assert_eq!((&*row["attempts"], &*row["http_status"]), ("0", ""));
        let message = &row["error_message"];
        assert!(
            message.contains(&format!("line {line}")) && message.contains("32 hex digits"),
            "{message}"
        );
    }
    assert_eq!(server.asked(), [id(1)]);
}

#[test]
fn where_no_id_is_valid_or_a_file_cannot_be_read_nothing_is_sent() {
    let server = any_account();
    let good = id(1);
    let cases: Vec<(&str, Vec<u8>, Vec<&str>)> = vec![
        (
            "ids.txt",
            b"abc\n\nxyz\n".to_vec(),
            vec!["ids.txt line 1", "ids.txt line 3", "32 hex digits"],
        ),
        (
            "wide.txt",
            b"\xff\xfea\0b\0".to_vec(),
            vec!["wide.txt", "line 1", "UTF-16", "save the file as UTF-8"],
        ),
        (
            "latin.csv",
            [
                b"account_id,account_name\n",
                good.as_bytes(),
                b",M\xfcller\n",
            ]
            .concat(),
            vec!["latin.csv", "line 2", "save the file as UTF-8"],
        ),
        (
            "zero.txt",
            [good.as_bytes(), b"\n\0\n"].concat(),
            vec!["zero.txt", "line 2", "NUL"],
        ),
        (
            "columns.csv",
            format!("# c\nid,name\n{good},x\n").into_bytes(),
            vec!["columns.csv", "line 2", "account_id"],
        ),
        (
            "empty.txt",
            b"".to_vec(),
            vec!["empty.txt", "names no account", "one account ID per line"],
        ),
        (
            "comments.txt",
            b"# none\n\n".to_vec(),
            vec!["comments.txt", "names no account"],
        ),
    ];
    for (name, bytes, said) in cases {
        let outcome = audit(&server)
            .accounts_file(name, bytes)
            .run()
            .expect(2)
            .says(&said)
            .says(&["error: ", "hint: "]);
        assert_eq!(outcome.stdout, "", "{name}");
        assert!(!outcome.reports().exists(), "{name} leaves a folder");
    }
    audit(&server)
        .args(["--accounts-file", "/none/there.csv"])
        .run()
        .expect(2)
        .says(&["/none/there.csv"]);
    audit(&server)
        .args(["nonsense", "x"])
        .run()
        .expect(2)
        .says(&["no account has a valid ID", "\"nonsense\""]);
    audit(&server)
        .run()
        .expect(2)
        .says(&["no account was named", "--accounts-file"]);
    assert_eq!(server.requests().len(), 0);
}

/// The accounts of a page, as the API lists them.
fn listed(numbers: impl Iterator<Item = usize>) -> Value {
    numbers
        .map(|n| json!({"id": id(n), "name": format!("Account {n}"), "type": "standard"}))
        .collect()
}

/// Answers connectors to whoever asks for an account's, and the list as given to whoever asks for that.
fn lists(list: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Server {
    Server::start(move |request| {
        if request.account().is_empty() {
            list(request)
        } else {
            success(json!([]))
        }
    })
}

fn page_of(request: &Request) -> usize {
    request.parameter("page").unwrap().parse().unwrap()
}

#[test]
fn all_accounts_are_listed_page_by_page_until_one_is_empty() {
    let server = lists(|request| {
        assert_eq!(request.parameter("per_page"), Some("50"));
        let page = page_of(request);
        let numbers = (page - 1) * 50 + 1..(page * 50 + 1).min(121);
        enveloped(
            listed(numbers),
            json!({"page": page, "per_page": 50, "total_count": 120}),
        )
    });
    let outcome = audit(&server).arg("--all-accounts").run().expect(0);
    assert_eq!(outcome.column("accounts.csv", "account_id"), ids(120));
    assert_eq!(outcome.account(&id(77))["account_name"], "Account 77");
    let pages: Vec<_> = server
        .requests()
        .iter()
        .filter(|r| r.account().is_empty())
        .map(page_of)
        .collect();
    assert_eq!(pages, [1, 2, 3, 4]);
}

#[test]
fn a_list_whose_pages_repeat_ends_and_its_gap_is_told() {
    let server = lists(|_| enveloped(listed(1..51), json!({"total_count": "120"})));
    let outcome = audit(&server)
        .arg("--all-accounts")
        .run()
        .expect(3)
        .says(&["says there are 120 accounts but contains 50"]);
    let asked_for_lists = server
        .requests()
        .iter()
        .filter(|r| r.account().is_empty())
        .count();
    assert_eq!(asked_for_lists, 2);
    assert_eq!(outcome.csv("accounts.csv").len(), 50);
    let json = outcome.json();
    assert_eq!(json["coverage"]["whole"], false);
    assert_eq!(json["coverage"]["gaps"].as_array().unwrap().len(), 1);
    assert!(
        outcome.stdout.contains("but contains 50"),
        "{}",
        outcome.stdout
    );
    assert!(outcome.text("report.html").contains("but contains 50"));
}

#[test]
fn a_list_that_cannot_be_had_ends_the_run_and_leaves_nothing() {
    type Listing = fn(&Request) -> Reply;
    let cases: [(Listing, &[&str]); 5] = [
        (
            |_| {
                failure(
                    400,
                    1001,
                    "List accounts endpoint does not support account owned tokens.",
                )
            },
            &[
                "code 1001",
                "does not support account owned tokens",
                "name the accounts instead",
            ],
        ),
        (
            |_| success(json!([])),
            &[
                "is empty",
                "does not prove that there are no accounts",
                "Account Settings Read",
            ],
        ),
        (
            |_| answer(200, "{\"success\":true,\"errors\":[]}"),
            &["no `result`"],
        ),
        (
            |_| failure(403, 10000, "Authentication error"),
            &[
                "(auth, code 10000)",
                "Authentication error: the token is not valid, or lacks the permission \"Account Settings Read\"\n",
                "check the token",
            ],
        ),
        (|_| answer(200, "<html>"), &["HTML instead of JSON"]),
    ];
    for (list, said) in cases {
        let server = lists(list);
        let outcome = audit(&server)
            .arg("--all-accounts")
            .run()
            .expect(1)
            .says(said)
            .says(&["hint: "]);
        assert_eq!(std::fs::read_dir(outcome.reports()).unwrap().count(), 0);
        assert_eq!(server.requests().len(), 1);
    }
}

#[test]
fn an_organizations_accounts_are_listed_by_page_token() {
    let server = lists(|request| {
        let (path, _) = request.path.split_once('?').unwrap();
        if path == "/client/v4/organizations" {
            return success(json!([]));
        }
        assert_eq!(path, "/client/v4/organizations/0a/accounts");
        match request.parameter("page_token") {
            None => enveloped(
                json!([{"id": id(1), "name": null}, {"id": id(2)}]),
                json!({"next_page_token": "n+xt/2", "total_size": 3}),
            ),
            Some("n%2Bxt%2F2") => enveloped(
                json!([{"id": id(3), "name": "Third"}]),
                json!({"next_page_token": "", "total_size": 3}),
            ),
            Some(other) => failure(400, 1004, other),
        }
    });
    let outcome = audit(&server)
        .args(["--organization", "0a"])
        .run()
        .expect(0);
    assert_eq!(outcome.column("accounts.csv", "account_id"), ids(3));
    assert_eq!(
        outcome.column("accounts.csv", "account_name"),
        ["", "", "Third"]
    );
}

#[test]
fn an_organizations_list_that_goes_round_ends_and_its_gap_is_told() {
    let server = lists(|_| enveloped(listed(1..3), json!({"next_page_token": "again"})));
    let outcome = audit(&server)
        .args(["--organization", "0a"])
        .run()
        .expect(3)
        .says(&["contains no new account but points to a next page"]);
    assert_eq!(outcome.csv("accounts.csv").len(), 2);
}

#[test]
fn odd_accounts_of_a_list_cost_the_others_nothing() {
    let server = lists(|request| match page_of(request) {
        1 => success(json!([
            {"id": id(1), "name": 7, "type": "planetary", "created_on": "soon"},
            {"id": "short", "name": "Short"},
            {"name": "Nameless"},
            "text",
            {"id": id(2), "name": "x".repeat(300)},
        ])),
        _ => success(json!([])),
    });
    let outcome = audit(&server).arg("--all-accounts").run().expect(3);
    assert_eq!(
        outcome.column("accounts.csv", "account_id"),
        [&id(1), "short", "(no id)", "text", &id(2)]
    );
    assert_eq!(
        outcome.column("accounts.csv", "error_kind"),
        ["", "invalid-id", "invalid-id", "invalid-id", ""]
    );
}

#[test]
fn named_and_listed_accounts_are_merged() {
    let server = lists(|request| match page_of(request) {
        1 => success(listed(1..4)),
        _ => success(json!([])),
    });
    let outcome = audit(&server)
        .args(["--all-accounts", &id(3), &id(9)])
        .run()
        .expect(0);
    assert_eq!(
        outcome.column("accounts.csv", "account_id"),
        [id(3), id(9), id(1), id(2)]
    );
    // What the list knows of an account that was named completes it.
    assert_eq!(outcome.account(&id(3))["account_name"], "Account 3");
}

#[test]
fn a_page_of_the_list_is_tried_again_like_any_request() {
    let seen = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let server = lists(move |request| {
        if seen.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0 {
            return answer(502, "<html>bad gateway</html>");
        }
        success(listed(if page_of(request) == 1 { 1..3 } else { 0..0 }))
    });
    let outcome = audit(&server).arg("--all-accounts").run().expect(0);
    assert_eq!(outcome.column("accounts.csv", "account_id"), ids(2));
}

#[test]
fn a_file_without_end_is_refused_and_not_read_whole() {
    let server = Server::of(Vec::new());
    let (outcome, memory) = audit(&server)
        .through("yes zz | head -c 3000000 | \"$@\"")
        .args(["--accounts-file", "-"])
        .spawn()
        .wait_and_measure();
    outcome.expect(2).says(&[
        "standard input line 250001: this would be account 250001, and a run reads at most 250000",
    ]);
    assert!(memory < 300 * 1024 * 1024, "{memory} bytes");
    audit(&server)
        .through("yes zz | \"$@\"")
        .args(["--accounts-file", "-"])
        .run()
        .expect(2)
        .says(&["standard input is larger than the limit of 64 MiB"]);
    assert!(server.requests().is_empty());
}

#[test]
fn accounts_named_many_times_are_counted_and_not_all_listed() {
    let server = Server::of(vec![(id(1), json!([]))]);
    let outcome = audit(&server)
        .accounts_file("accounts.txt", vec![ids(5).join("\n"); 100].join("\n"))
        .run()
        .expect(3);
    let said = "5 accounts are named more than once; each is read once: ";
    assert_eq!(outcome.stderr.matches("more than once").count(), 1);
    outcome.says(&[said, " and 2 more"]);
}

#[test]
fn a_name_without_end_is_a_quote_that_is_missing() {
    let server = Server::of(Vec::new());
    audit(&server)
        .accounts_file(
            "accounts.csv",
            format!("account_id,account_name\n{},{}\n", id(1), "x".repeat(201)),
        )
        .run()
        .expect(2)
        .says(&["accounts.csv line 2: the column account_name holds more than 200 characters"]);
}

#[test]
fn an_account_that_is_named_with_two_owners_is_warned_of() {
    let server = Server::of(vec![(id(1), json!([])), (id(2), json!([]))]);
    let line = |n, owner: &str| format!("{},{owner}\n", id(n));
    let csv = format!(
        "account_id,owner\n{}{}{}{}",
        line(1, "a"),
        line(2, "a"),
        line(1, "b"),
        line(2, "a")
    );
    let said = format!(
        "1 account is named with different owners or tokens; the first is used: {}",
        id(1)
    );
    let outcome = audit(&server).accounts_file("accounts.csv", csv).run();
    let outcome = outcome.expect(0).says(&[&said]);
    assert_eq!(outcome.account(&id(1))["owner"], "a");
}
