//! The page: everything asked for is on it, and nothing from outside is markup.

use serde_json::json;

use crate::support::*;

/// Text that would break out of an element, an attribute, a script, a comment or a template.
const HOSTILE: [&str; 6] = [
    "<script>alert(1)</script>",
    "</script><script>alert(2)</script>",
    "\"><img src=x onerror=alert(3)>",
    "'><svg/onload=alert(4)>",
    "--><b>alert(5)</b><!--",
    "{{{alert6}}}<i>alert(6)</i>&amp;",
];

fn hostile_page() -> Outcome {
    let server = Server::start(|request| {
        if request.account() == id(2) {
            return failure(403, 4711, HOSTILE[0]).with("cf-ray", "<i>alert(9)</i>");
        }
        let connectors: Vec<_> = HOSTILE
            .iter()
            .enumerate()
            .map(|(n, text)| {
                connector_with(
                    n,
                    text,
                    json!({"id": text, "enabled": text, "use_fedramp_language": text, "created_on": text,
                           "verification": {"status": text, "code": text}}),
                )
            })
            .collect();
        success(connectors.into())
    });
    let names: String = HOSTILE
        .iter()
        .enumerate()
        .map(|(n, text)| {
            let text = text.replace('"', "\"\"");
            format!("{},\"{text}\",\"{text}\"\n", id(n + 1))
        })
        .collect();
    audit(&server)
        .accounts_file(
            "<b>alert(7)<b>.csv",
            format!("account_id,account_name,owner\n{names}"),
        )
        .run()
        .expect(3)
}

#[test]
fn nothing_from_outside_is_markup() {
    let outcome = hostile_page();
    let page = outcome.text("report.html");
    for raw in [
        "<script>alert",
        "</script><script>",
        "<img src=x",
        "<svg/onload",
        "<b>alert",
        "<i>alert",
        "\"><img",
        "--><b>",
    ] {
        assert!(!page.contains(raw), "{raw} stands in the page as it came");
    }
    // It is there, escaped.
    assert!(
        page.contains("&lt;script&gt;alert(1)"),
        "the text itself is shown"
    );
}

#[test]
fn the_page_is_one_file_that_loads_nothing() {
    let outcome = hostile_page();
    let page = outcome.text("report.html");
    for loads in [
        "src=\"http",
        "href=\"//",
        "src=\"//",
        "url(http",
        "@import",
        "<link rel=\"stylesheet\"",
    ] {
        assert!(!page.contains(loads), "{loads}");
    }
    assert!(page.starts_with("<!doctype html>") || page.starts_with("<!DOCTYPE html>"));
    assert!(page.contains("<meta charset=\"utf-8\">"));
    assert_eq!(
        page.matches("<script").count(),
        page.matches("</script>").count()
    );
}

#[test]
fn every_account_asked_for_is_on_the_page() {
    let server = Server::start(|request| {
        if request.account() == id(2) {
            answer(500, "")
        } else {
            success(json!([connector(
                1,
                &format!("{}.example", &request.account()[24..])
            )]))
        }
    });
    let outcome = audit(&server)
        .args(["--retries", "0"])
        .args(ids(30))
        .arg("no-id")
        .run()
        .expect(3);
    let page = outcome.text("report.html");
    for id in ids(30).iter().map(String::as_str).chain(["no-id"]) {
        assert!(page.contains(id), "{id}");
    }
    assert!(page.contains("29 of 31"), "the coverage is told");
}
