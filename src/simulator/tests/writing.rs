//! What is changed, and what time changes then.

use super::{DELAY, Sim, TOKEN, now, time_of};
use crate::simulator::World;
use chrono::TimeDelta;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test]
async fn a_connector_is_made_pending_and_not_enabled() {
    let sim = Sim::empty().await;
    let list = format!("/accounts/{}/sso_connectors", sim.accounts[0]);
    let made = sim
        .call(Method::POST, &list, json!({"email_domain": "corp.example"}))
        .await
        .result();
    assert_eq!(
        (&made["email_domain"], &made["enabled"]),
        (&json!("corp.example"), &json!(false))
    );
    assert_eq!(
        (
            &made["use_fedramp_language"],
            &made["verification"]["status"]
        ),
        (&json!(false), &json!("pending"))
    );
    assert_eq!(made["created_on"], "2026-11-21T10:15:00.2500Z");
    assert_eq!(made["updated_on"], made["created_on"]);

    let body = json!({"email_domain": "gov.example", "begin_verification": false, "use_fedramp_language": true});
    let other = sim.call(Method::POST, &list, body).await.result();
    assert_eq!(
        (
            &other["use_fedramp_language"],
            &other["verification"]["status"]
        ),
        (&json!(true), &json!("awaiting"))
    );
    assert_ne!(other["id"], made["id"]);
    assert_ne!(other["verification"]["code"], made["verification"]["code"]);
    assert_eq!(sim.connectors(&sim.accounts[0]).await, [made, other]);

    // What was never begun does not come to an end.
    sim.pass(DELAY * 100);
    let statuses: Vec<Value> = sim
        .connectors(&sim.accounts[0])
        .await
        .iter()
        .map(|it| it["verification"]["status"].clone())
        .collect();
    assert_eq!(statuses, ["verified", "awaiting"]);
}

#[tokio::test]
async fn public_and_duplicate_domains_are_refused() {
    let sim = Sim::empty().await;
    sim.create(0, "corp.example").await;
    sim.create(0, "münchen.example").await;
    let list = format!("/accounts/{}/sso_connectors", sim.accounts[0]);
    for (domain, code) in [
        ("corp.example", 12002),
        ("CORP.Example.", 12002),
        ("xn--mnchen-3ya.example", 12002),
        ("MÜNCHEN.example", 12002),
        ("gmail.com", 12001),
        ("GMail.com.", 12001),
        ("outlook.com", 12001),
    ] {
        let reply = sim
            .call(Method::POST, &list, json!({"email_domain": domain}))
            .await;
        assert_eq!(reply.refusal(), (400, code), "{domain}");
    }
    // A subdomain is another domain, and so is the same one in another account.
    sim.create(0, "eu.corp.example").await;
    sim.create(1, "corp.example").await;
    assert_eq!(sim.running.totals().connectors, 4);
}

#[tokio::test]
async fn a_verification_ends_after_the_delay() {
    let sim = Sim::empty().await;
    let good = sim.create(0, "corp.example").await;
    let bad = sim.create(0, "Fail.example").await;
    sim.pass(DELAY - Duration::from_millis(1));
    assert_eq!(
        (sim.status(&good).await, sim.status(&bad).await),
        ("pending".into(), "pending".into())
    );
    assert_eq!(sim.running.totals().unverified, 2);
    sim.pass(Duration::from_millis(1));
    assert_eq!(
        (sim.status(&good).await, sim.status(&bad).await),
        ("verified".into(), "failed".into())
    );
    assert_eq!(sim.running.totals().unverified, 1);
    let ended = now() + TimeDelta::from_std(DELAY).unwrap();
    sim.pass(DELAY);
    assert_eq!(time_of(&sim.get(&good).await.result()["updated_on"]), ended);

    // Begun again, and failed again: a minute later, no sooner.
    let reply = sim.begin(&bad).await;
    assert_eq!(
        reply.body,
        json!({"success": true, "errors": [], "messages": []})
    );
    let begun = sim.get(&bad).await.result();
    assert_eq!(begun["verification"]["status"], "pending");
    assert_eq!(
        time_of(&begun["updated_on"]),
        now() + TimeDelta::from_std(DELAY * 2).unwrap()
    );
    sim.pass(DELAY - Duration::from_millis(1));
    assert_eq!(sim.status(&bad).await, "pending");
    sim.pass(Duration::from_millis(1));
    assert_eq!(sim.status(&bad).await, "failed");
    assert_eq!(sim.begin(&good).await.refusal(), (400, 12006));
}

#[tokio::test]
async fn an_awaiting_connector_is_verified_once_begun() {
    let sim = Sim::empty().await;
    let list = format!("/accounts/{}/sso_connectors", sim.accounts[0]);
    let body = json!({"email_domain": "corp.example", "begin_verification": false});
    let made = sim.call(Method::POST, &list, body).await.result();
    let path = format!("{list}/{}", made["id"].as_str().unwrap());
    // An empty object is taken for no body.
    assert_eq!(
        sim.call(
            Method::POST,
            &format!("{path}/begin_verification"),
            json!({})
        )
        .await
        .status,
        200
    );
    assert_eq!(sim.status(&path).await, "pending");
    sim.pass(DELAY);
    let verified = sim.get(&path).await.result();
    assert_eq!(
        verified["verification"],
        json!({"code": made["verification"]["code"], "status": "verified"})
    );
}

#[tokio::test]
async fn what_was_pending_from_the_start_stays_so_until_it_is_begun_again() {
    let world = World::demo(now());
    let (account, totals) = (
        Sim::account_named(&world, "Drayton Air Charter"),
        world.totals(),
    );
    let sim = Sim::new(world).await;
    sim.pass(DELAY * 1000);
    assert_eq!(sim.running.totals(), totals);
    let id = sim.connectors(&account).await[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("/accounts/{account}/sso_connectors/{id}");
    assert_eq!(sim.status(&path).await, "pending");
    assert_eq!(sim.begin(&path).await.status, 200);
    sim.pass(DELAY);
    assert_eq!(sim.status(&path).await, "verified");
    assert_eq!(sim.running.totals().unverified, totals.unverified - 1);
}

#[tokio::test]
async fn a_connector_is_enabled_only_once_verified() {
    let sim = Sim::empty().await;
    let path = sim.create(0, "corp.example").await;
    let before = sim.get(&path).await.result();
    assert_eq!(sim.enable(&path, true).await.refusal(), (400, 12003));
    // All of a change or nothing of it.
    let both = sim
        .call(
            Method::PATCH,
            &path,
            json!({"enabled": true, "use_fedramp_language": true}),
        )
        .await;
    assert_eq!(both.refusal(), (400, 12003));
    assert_eq!(sim.get(&path).await.result(), before);

    sim.pass(DELAY + Duration::from_secs(5));
    let enabled = sim.enable(&path, true).await.result();
    assert_eq!(
        (&enabled["enabled"], &enabled["verification"]["status"]),
        (&json!(true), &json!("verified"))
    );
    assert_eq!(
        time_of(&enabled["updated_on"]),
        now() + TimeDelta::seconds(65)
    );
    assert_eq!(enabled["created_on"], before["created_on"]);
    assert_eq!(sim.get(&path).await.result(), enabled);

    // A change of nothing.
    sim.pass(DELAY);
    assert_eq!(
        sim.call(Method::PATCH, &path, json!({})).await.result(),
        enabled
    );
    let language = sim
        .call(Method::PATCH, &path, json!({"use_fedramp_language": true}))
        .await
        .result();
    assert_eq!(
        (&language["enabled"], &language["use_fedramp_language"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(sim.enable(&path, false).await.result()["enabled"], false);
}

#[tokio::test]
async fn what_is_enabled_already_may_be_so_again_verified_or_not() {
    let world = World::demo(now());
    let account = Sim::account_named(&world, "Windrush Pharmacies");
    let sim = Sim::new(world).await;
    let id = sim.connectors(&account).await[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("/accounts/{account}/sso_connectors/{id}");
    assert_eq!(
        sim.enable(&path, true).await.result()["verification"]["status"],
        "awaiting"
    );
    sim.enable(&path, false).await.result();
    assert_eq!(sim.enable(&path, true).await.refusal(), (400, 12003));
}

#[tokio::test]
async fn a_domain_is_enabled_in_one_account_only() {
    let sim = Sim::empty().await;
    let first = sim.create(0, "münchen.example").await;
    let second = sim.create(1, "XN--MNCHEN-3YA.example.").await;
    sim.pass(DELAY);
    sim.enable(&first, true).await.result();
    assert_eq!(sim.enable(&second, true).await.refusal(), (400, 12004));
    // What is enabled already may be so again.
    sim.enable(&first, true).await.result();
    sim.enable(&first, false).await.result();
    sim.enable(&second, true).await.result();
    assert_eq!(sim.enable(&first, true).await.refusal(), (400, 12004));
    assert_eq!(
        sim.call(Method::DELETE, &second, json!({})).await.status,
        200
    );
    sim.enable(&first, true).await.result();
}

#[tokio::test]
async fn an_academic_domain_is_verified_but_not_enabled() {
    let sim = Sim::empty().await;
    for (domain, academic) in [
        ("corp.edu", true),
        ("corp.ac.uk", true),
        ("corp.edu.au", true),
        ("ac.corp.example", false),
    ] {
        let path = sim.create(0, domain).await;
        sim.pass(DELAY);
        assert_eq!(sim.status(&path).await, "verified");
        let reply = sim.enable(&path, true).await;
        assert_eq!(reply.status, if academic { 400 } else { 200 }, "{domain}");
        assert!(!academic || reply.refusal() == (400, 12005));
    }
}

#[tokio::test]
async fn a_deleted_connector_is_gone() {
    let sim = Sim::empty().await;
    let path = sim.create(0, "corp.example").await;
    let kept = sim.create(0, "other.example").await;
    let reply = sim
        .send(sim.request(Method::DELETE, &path).bearer_auth(TOKEN))
        .await
        .result();
    assert_eq!(json!({"id": path.rsplit('/').next()}), reply);
    assert_eq!(sim.get(&path).await.refusal(), (404, 7003));
    assert_eq!(
        sim.connectors(&sim.accounts[0]).await,
        [sim.get(&kept).await.result()]
    );
    // The domain is free again, and its connector a new one.
    assert_ne!(sim.create(0, "corp.example").await, path);
}

#[tokio::test]
async fn a_write_puts_an_odd_field_right() {
    let world = World::demo(now());
    let account = Sim::account_named(&world, "Legacy Imports Sandbox");
    let sim = Sim::new(world).await;
    let odd = sim.connectors(&account).await;
    let path = |connector: &Value| {
        format!(
            "/accounts/{account}/sso_connectors/{}",
            connector["id"].as_str().unwrap()
        )
    };
    let named = |part: &str| {
        odd.iter()
            .find(|it| it["email_domain"].as_str().unwrap().starts_with(part))
            .unwrap()
    };

    let archive = named("archive");
    assert_eq!(archive["verification"]["status"], "superseded");
    assert_eq!(sim.get(&path(archive)).await.result(), *archive);
    assert_eq!(
        sim.enable(&path(archive), true).await.refusal(),
        (400, 12003)
    );
    assert_eq!(sim.begin(&path(archive)).await.status, 200);
    assert_eq!(sim.status(&path(archive)).await, "pending");

    assert_eq!(named("warehouse").get("enabled"), Some(&Value::Null));
    assert_eq!(
        sim.enable(&path(named("warehouse")), false).await.result()["enabled"],
        false
    );
    assert_eq!(named("customs")["enabled"], "yes");
    assert_eq!(
        sim.enable(&path(named("customs")), true).await.result()["enabled"],
        true
    );
    assert_eq!(named("couriers").get("use_fedramp_language"), None);
    let language = json!({"use_fedramp_language": false});
    let couriers = sim
        .call(Method::PATCH, &path(named("couriers")), language)
        .await
        .result();
    assert_eq!(couriers["use_fedramp_language"], false);
    // The others are as they were.
    assert_eq!(
        sim.get(&path(named("returns"))).await.result(),
        *named("returns")
    );
}
