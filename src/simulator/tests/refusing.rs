//! What is refused, and leaves no trace.

use super::{NOBODY, READ_ONLY, Sim, TOKEN, now};
use crate::simulator::World;
use reqwest::Method;
use reqwest::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE};
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn only_a_known_bearer_token_is_let_in() {
    let sim = Sim::empty().await;
    let list = format!("/accounts/{}/sso_connectors", sim.accounts[0]);
    let paths = [list.as_str(), "/accounts", "/user/tokens/verify"];
    for path in paths {
        let ask = || sim.request(Method::GET, path);
        assert_eq!(sim.send(ask()).await.refusal(), (400, 9106));
        let key = ask()
            .header("X-Auth-Email", "a@b.example")
            .header("X-Auth-Key", TOKEN);
        assert_eq!(sim.send(key).await.refusal(), (400, 9106));
        for header in [
            "Bearer",
            "Bearer ",
            "Basic Y2Z1dF9hbGw6",
            TOKEN,
            "Bearer two words",
        ] {
            let reply = sim.send(ask().header(AUTHORIZATION, header)).await;
            assert_eq!(reply.body["errors"][0]["error_chain"][0]["code"], 6111);
            assert_eq!(reply.refusal(), (400, 6003), "{header}");
        }
        let unknown = sim.send(ask().bearer_auth("cfut_unknown")).await.refusal();
        assert_eq!(
            unknown,
            if path == "/user/tokens/verify" {
                (401, 1000)
            } else {
                (403, 10000)
            }
        );
        assert_eq!(
            sim.send(ask().header(AUTHORIZATION, format!("bearer {TOKEN}")))
                .await
                .status,
            200
        );
    }
}

#[tokio::test]
async fn a_read_only_token_reads_and_does_not_write() {
    let world = World::generate(2, 3, 7, now());
    let totals = world.totals();
    let sim = Sim::new(world).await;
    let list = format!("/accounts/{}/sso_connectors", sim.accounts[0]);
    let id = sim.connectors(&sim.accounts[0]).await[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let one = format!("{list}/{id}");
    for path in ["/accounts", &list, &one, "/user/tokens/verify"] {
        sim.send(sim.request(Method::GET, path).bearer_auth(READ_ONLY))
            .await
            .result();
    }
    assert_eq!(sim.running.writes(), 0);
    for (method, path, body) in [
        (
            Method::POST,
            list.clone(),
            json!({"email_domain": "new.example"}),
        ),
        (
            Method::PATCH,
            one.clone(),
            json!({"enabled": false, "use_fedramp_language": true}),
        ),
        (Method::DELETE, one.clone(), json!({})),
        (Method::POST, format!("{one}/begin_verification"), json!({})),
    ] {
        let reply = sim
            .send(
                sim.request(method.clone(), &path)
                    .bearer_auth(READ_ONLY)
                    .json(&body),
            )
            .await;
        assert_eq!(reply.refusal(), (403, 9109), "{method} {path}");
    }
    assert_eq!((sim.running.writes(), sim.running.totals()), (4, totals));
}

#[tokio::test]
async fn unknown_objects_and_paths_are_not_found() {
    let sim = Sim::new(World::generate(2, 1, 7, now())).await;
    let (mine, other) = (sim.accounts[0].clone(), sim.accounts[1].clone());
    let id = sim.connectors(&mine).await[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let upper = mine.to_uppercase();
    let short = &mine[..31];
    for account in [
        NOBODY,
        "x",
        "",
        short,
        &upper,
        "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz",
        "%C3%BC",
    ] {
        for path in ["", "/sso_connectors", &format!("/sso_connectors/{id}")] {
            let path = format!("/accounts/{account}{path}");
            let reply = sim.get(&path).await;
            let message = reply.body["errors"][0]["message"]
                .as_str()
                .unwrap()
                .to_owned();
            assert!(message.contains(&format!("/client/v4{path},")), "{message}");
            assert_eq!(reply.refusal(), (404, 7003), "{path}");
        }
    }
    // A connector belongs to one account.
    for path in [
        format!("/accounts/{other}/sso_connectors/{id}"),
        format!("/accounts/{mine}/sso_connectors/{NOBODY}"),
    ] {
        assert_eq!(sim.get(&path).await.refusal(), (404, 7003));
        assert_eq!(sim.enable(&path, true).await.refusal(), (404, 7003));
        assert_eq!(sim.begin(&path).await.refusal(), (404, 7003));
        assert_eq!(
            sim.call(Method::DELETE, &path, json!({})).await.refusal(),
            (404, 7003)
        );
    }
    let body = json!({"email_domain": "new.example"});
    let reply = sim
        .call(
            Method::POST,
            &format!("/accounts/{NOBODY}/sso_connectors"),
            body,
        )
        .await;
    assert_eq!(reply.refusal(), (404, 7003));
    for path in [
        "/".to_owned(),
        "/zones".to_owned(),
        "/accounts/".to_owned(),
        format!("/accounts/{mine}/sso_connectors/"),
        format!("/accounts/{mine}/sso_connectors/{id}/enable"),
        format!("/organizations/{NOBODY}/accounts"),
    ] {
        assert_eq!(sim.get(&path).await.refusal(), (404, 7003), "{path}");
    }
    let outside = sim.running.base_url().replace("/client/v4", "/accounts");
    assert_eq!(
        sim.send(sim.client.get(outside).bearer_auth(TOKEN))
            .await
            .refusal(),
        (404, 7003)
    );
}

#[tokio::test]
async fn a_method_the_path_does_not_have_is_refused() {
    let sim = Sim::new(World::generate(1, 1, 7, now())).await;
    let list = format!("/accounts/{}/sso_connectors", sim.accounts[0]);
    let one = format!(
        "{list}/{}",
        sim.connectors(&sim.accounts[0]).await[0]["id"]
            .as_str()
            .unwrap()
    );
    for (path, wrong, allow) in [
        (
            list.clone(),
            vec![Method::PUT, Method::PATCH, Method::DELETE],
            "GET, POST",
        ),
        (
            one.clone(),
            vec![Method::PUT, Method::POST],
            "GET, PATCH, DELETE",
        ),
        (
            format!("{one}/begin_verification"),
            vec![Method::GET, Method::PATCH, Method::DELETE],
            "POST",
        ),
        ("/accounts".to_owned(), vec![Method::POST], "GET"),
        ("/user/tokens/verify".to_owned(), vec![Method::POST], "GET"),
    ] {
        for method in wrong {
            let reply = sim.call(method.clone(), &path, json!({})).await;
            assert_eq!(reply.headers[ALLOW], allow);
            assert_eq!(reply.refusal(), (405, 10405), "{method} {path}");
        }
        assert_eq!(
            sim.send(sim.request(Method::HEAD, &path).bearer_auth(TOKEN))
                .await
                .status,
            405
        );
    }
    assert_eq!(sim.running.totals().connectors, 1);
}

#[tokio::test]
async fn a_body_that_is_not_as_documented_changes_nothing() {
    let sim = Sim::empty().await;
    let one = sim.create(0, "known.example").await;
    let before = sim.get(&one).await.result();
    sim.pass(Duration::from_secs(1));
    let list = format!("/accounts/{}/sso_connectors", sim.accounts[0]);
    let begin = format!("{one}/begin_verification");
    let of_any = [
        "[]",
        "null",
        "\"text\"",
        r#"{"unknown": 1}"#,
        r#"{"use_fedramp_language": "true"}"#,
    ];
    let of_create = [
        "{}",
        r#"{"email_domain": null}"#,
        r#"{"email_domain": 1}"#,
        r#"{"email_domain": ""}"#,
        r#"{"email_domain": "localhost"}"#,
        r#"{"email_domain": "user@corp.example"}"#,
        r#"{"email_domain": "corp example"}"#,
        r#"{"email_domain": "-corp.example"}"#,
        r#"{"email_domain": "corp..example"}"#,
        r#"{"email_domain": "new.example", "begin_verification": 1}"#,
        r#"{"email_domain": "new.example", "use_fedramp_language": null}"#,
        r#"{"email_domain": "new.example", "enabled": true}"#,
    ];
    let of_update = [
        r#"{"enabled": null}"#,
        r#"{"enabled": "false"}"#,
        r#"{"enabled": 0}"#,
        r#"{"email_domain": "new.example"}"#,
    ];
    let all = of_any.map(|body| (Method::POST, &list, body)).into_iter();
    let all = all.chain(of_any.map(|body| (Method::PATCH, &one, body)));
    let all = all.chain(of_create.map(|body| (Method::POST, &list, body)));
    let all = all.chain(of_update.map(|body| (Method::PATCH, &one, body)));
    let all = all.chain([(Method::POST, &begin, r#"{"email_domain": "new.example"}"#)]);
    for (method, path, body) in all {
        let request = sim
            .request(method, path)
            .bearer_auth(TOKEN)
            .header(CONTENT_TYPE, "application/json; charset=utf-8");
        let reply = sim.send(request.body(body)).await;
        assert!(
            reply.body["errors"][0]["source"]["pointer"].is_string(),
            "{}",
            reply.body
        );
        assert_eq!(reply.refusal(), (400, 10400), "{path} {body}");
    }
    for (method, path) in [(Method::POST, &list), (Method::PATCH, &one)] {
        let request = || sim.request(method.clone(), path).bearer_auth(TOKEN);
        for body in [
            "",
            "{",
            "email_domain=new.example",
            "{'email_domain': 'new.example'}",
        ] {
            let json = request().header(CONTENT_TYPE, "application/json");
            assert_eq!(
                sim.send(json.body(body)).await.refusal(),
                (400, 6007),
                "{body}"
            );
        }
        for kind in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/jsonp",
        ] {
            let other = request().header(CONTENT_TYPE, kind).body("{}");
            assert_eq!(sim.send(other).await.refusal(), (400, 6003), "{kind}");
        }
        let large = request()
            .header(CONTENT_TYPE, "application/json")
            .body(vec![b' '; (1 << 20) + 1]);
        assert_eq!(sim.send(large).await.refusal(), (413, 10413));
    }
    assert_eq!(sim.connectors(&sim.accounts[0]).await, [before]);
}
