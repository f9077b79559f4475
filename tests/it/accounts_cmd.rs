//! `accounts`: a list that `audit --accounts-file` takes.

use serde_json::{Value, json};

use crate::support::*;

/// Names that CSV has to quote, and some that no line should hold.
const NAMES: [&str; 6] = [
    "Acme, Inc.",
    "The \"Best\" Co",
    "two\nlines\u{1b}[31m",
    "=HYPERLINK(\"x\")",
    "#5 Ünïcödé",
    "",
];

fn account(number: usize) -> Value {
    json!({"id": id(number), "name": NAMES[number - 1], "type": "standard"})
}

/// Lists the accounts two a page, and reads each.
fn listing() -> Server {
    Server::start(|request| {
        if let Some(page) = request.parameter("page") {
            let page: usize = page.parse().unwrap();
            let from = (page - 1) * 2;
            let items: Vec<_> = (from + 1..=from + 2)
                .filter(|&n| n <= NAMES.len())
                .map(account)
                .collect();
            return enveloped(json!(items), json!({"total_count": NAMES.len()}));
        }
        if request
            .path
            .starts_with("/client/v4/organizations/org-1/accounts")
        {
            return enveloped(json!([account(1), account(5)]), json!({"total_size": 2}));
        }
        if request.path.starts_with("/client/v4/organizations?") {
            return success(json!([]));
        }
        success(json!([connector(1, "a.example")]))
    })
}

fn accounts(server: &Server) -> Program {
    program("accounts").at(server).args(["--retry-delay", "0s"])
}

#[test]
fn the_list_is_taken_by_audit() {
    let server = listing();
    let list = accounts(&server).run().expect(0);
    assert_eq!(list.stderr, "");
    assert!(
        !list.stdout.contains('\u{1b}'),
        "a name does nothing to a terminal"
    );
    assert!(list.stdout.starts_with("account_id,account_name,region\n"));
    assert_eq!(list.stdout.lines().count(), 7, "one line an account");
    assert!(server.requests().iter().all(|r| r.method == "GET"));

    let audited = audit(&server)
        .args(["--accounts-file", "-", "--csv-dialect", "plain"])
        .stdin(list.stdout)
        .run()
        .expect(0);
    assert_eq!(audited.column("accounts.csv", "account_id"), ids(6));
    let names = audited.column("accounts.csv", "account_name");
    let expected: Vec<_> = NAMES
        .iter()
        .map(|name| name.replace('\n', " ").replace('\u{1b}', "\u{fffd}"))
        .collect();
    // A spreadsheet, in which the list may be edited, takes none of them for a formula; the sign for that stays.
    let expected: Vec<_> = expected
        .iter()
        .map(|name| match name.starts_with('=') {
            true => format!("'{name}"),
            false => name.clone(),
        })
        .collect();
    assert_eq!(names, expected);
}

#[test]
fn an_organizations_accounts_can_be_listed() {
    let server = listing();
    let list = accounts(&server)
        .args(["--organization", "org-1"])
        .run()
        .expect(0);
    let listed: Vec<_> = rows(list.stdout.as_bytes(), b',')
        .into_iter()
        .map(|row| row["account_id"].clone())
        .collect();
    assert_eq!(listed, [id(1), id(5)]);
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn a_list_that_is_not_whole_is_told() {
    let server = Server::start(|request| match request.parameter("page") {
        Some("1") => enveloped(json!([account(1)]), json!({"total_count": 9})),
        _ => enveloped(json!([]), json!({"total_count": 9})),
    });
    accounts(&server)
        .run()
        .expect(3)
        .says(&["says there are 9 accounts but contains 1"])
        .prints(&[&id(1)]);
}

#[test]
fn why_there_is_no_list_is_told_with_what_to_do() {
    for (reply, told) in [
        (
            forbidden(),
            ["forbidden, code 9109", "Account Settings Read"],
        ),
        (
            success(json!([])),
            ["is empty, which does not prove", "Account Settings Read"],
        ),
        (answer(500, ""), ["server", "--accounts-file"]),
    ] {
        let server = Server::start(move |_| reply.clone());
        let outcome = accounts(&server)
            .args(["--retries", "0"])
            .run()
            .expect(1)
            .says(&["cannot list the token's accounts", "hint: "])
            .says(&told);
        assert_eq!(outcome.stdout, "", "no half a list");
    }
    let server = Server::start(|_| failure(404, 7003, "Could not route to it"));
    accounts(&server)
        .args(["--organization", "none"])
        .run()
        .expect(1)
        .says(&["organization none", "check the organization's ID"]);
}

#[test]
fn an_id_that_a_spreadsheet_would_take_for_a_number_comes_back_whole() {
    let digits = "1".repeat(32);
    let server = Server::start({
        let digits = digits.clone();
        move |request| match request.parameter("page") {
            Some("1") => success(json!([{"id": digits, "name": "2026-11-21"}])),
            Some(_) => success(json!([])),
            None => success(json!([connector(1, "a.example")])),
        }
    });
    let list = accounts(&server).run().expect(0).stdout;
    assert_eq!(
        list,
        format!("account_id,account_name,region\n'{digits},'2026-11-21,other\n")
    );
    let audited = audit(&server)
        .args(["--accounts-file", "-", "--csv-dialect", "plain"])
        .stdin(list)
        .run()
        .expect(0);
    assert_eq!(audited.column("accounts.csv", "account_id"), [digits]);
}
