//! The made-up worlds, and that what they count is what they answer.

use super::{Sim, is_id, now, time_of};
use crate::simulator::world::domain_key;
use crate::simulator::{Totals, World};
use chrono::TimeDelta;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};

/// All that a world answers: id of the account, its connectors.
async fn read_all(sim: &Sim) -> Vec<(String, Vec<Value>)> {
    let mut all = Vec::new();
    for account in &sim.accounts {
        all.push((account.clone(), sim.connectors(account).await));
    }
    all
}

/// The totals counted anew from the answers.
fn count(all: &[(String, Vec<Value>)]) -> Totals {
    let connectors = || all.iter().flat_map(|(_, connectors)| connectors);
    Totals {
        accounts: all.len(),
        connectors: connectors().count(),
        unverified: connectors()
            .filter(|it| it.pointer("/verification/status") != Some(&json!("verified")))
            .count(),
        disabled: connectors()
            .filter(|it| it.get("enabled") != Some(&json!(true)))
            .count(),
        fedramp_on: connectors()
            .filter(|it| it.get("use_fedramp_language") == Some(&json!(true)))
            .count(),
    }
}

#[tokio::test]
async fn the_totals_are_those_of_the_answers() {
    for world in [
        World::demo(now()),
        World::generate(60, 7, 3, now()),
        World::generate(0, 5, 3, now()),
    ] {
        let totals = world.totals();
        let sim = Sim::new(world).await;
        assert_eq!(count(&read_all(&sim).await), totals);
        assert_eq!(sim.running.totals(), totals);
    }
}

#[tokio::test]
async fn a_seed_makes_its_world_and_no_other() {
    let mut worlds = Vec::new();
    for seed in [1, 1, 2] {
        let world = World::generate(5, 4, seed, now());
        let names: Vec<String> = world.accounts().map(|(_, name)| name.to_owned()).collect();
        worlds.push((names, read_all(&Sim::new(world).await).await));
    }
    assert_eq!(worlds[0], worlds[1]);
    let ids =
        |world: usize| -> HashSet<&String> { worlds[world].1.iter().map(|(id, _)| id).collect() };
    assert!(ids(0).is_disjoint(&ids(2)));
}

#[test]
fn a_large_world_repeats_nothing_and_is_like_life() {
    let world = World::generate(9_000, 3, 11, now());
    let mut ids: HashSet<String> = world.accounts().map(|(id, _)| id).collect();
    let names: HashSet<&str> = world.accounts().map(|(_, name)| name).collect();
    assert_eq!((ids.len(), names.len()), (9_000, 9_000));
    assert!(ids.iter().all(|id| is_id(id)));
    let mut domains = HashSet::new();
    for connector in world
        .accounts
        .iter()
        .flat_map(|account| &account.connectors)
    {
        assert!(ids.insert(connector.id.to_string()));
        let domain = connector.email_domain.to_string();
        assert_eq!(domain_key(&domain).as_ref(), Some(&domain));
        assert!(
            [".example", ".test", ".example.com"]
                .iter()
                .any(|ending| domain.ends_with(ending)),
            "{domain}"
        );
        assert!(domains.insert(domain));
        assert!(connector.created_on <= connector.updated_on && connector.updated_on <= now());
    }
    let totals = world.totals();
    let per_mille = |part: usize| part * 1000 / totals.connectors;
    assert_eq!((totals.accounts, totals.connectors), (9_000, 27_000));
    assert!(
        (90..150).contains(&per_mille(totals.unverified)),
        "{totals:?}"
    );
    assert!(
        (130..230).contains(&per_mille(totals.disabled)),
        "{totals:?}"
    );
    assert!(
        (50..120).contains(&per_mille(totals.fedramp_on)),
        "{totals:?}"
    );
}

#[test]
fn a_generated_account_may_have_more_connectors_than_there_are_names() {
    let world = World::generate(1, 60, 11, now());
    let domains: HashSet<&str> = world.accounts[0]
        .connectors
        .iter()
        .map(|it| &*it.email_domain)
        .collect();
    assert_eq!(domains.len(), 60);
}

#[tokio::test]
async fn the_demo_shows_every_rule_that_an_answer_can_show() {
    let sim = Sim::demo().await;
    let all = read_all(&sim).await;
    assert!((38..=45).contains(&all.len()));
    let flag = |connector: &Value, field: &str| connector.get(field).and_then(Value::as_bool);
    let mut shown: BTreeMap<&str, HashSet<&str>> = BTreeMap::new();
    let mut domains: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (account, connectors) in &all {
        assert!(is_id(account));
        let mut show = |rule| {
            shown.entry(rule).or_default().insert(account.as_str());
        };
        if connectors.is_empty() {
            show("no-connector");
        }
        let languages: HashSet<_> = connectors
            .iter()
            .filter_map(|it| flag(it, "use_fedramp_language"))
            .collect();
        if languages.len() == 2 {
            show("fedramp-inconsistent");
        }
        for connector in connectors {
            let status = connector["verification"]["status"].as_str();
            let age = now() - time_of(&connector["updated_on"]);
            let of_status = match status {
                Some("verified") => None,
                Some("awaiting") => Some("awaiting"),
                Some("pending") if age > TimeDelta::days(2) => Some("stale-verification"),
                Some("pending") => Some("pending"),
                Some("failed") => Some("failed"),
                Some(_) => Some("unrecognised status"),
                None => Some("absent status"),
            };
            let unverified = status.is_some_and(|it| it != "verified");
            let of_enabled = match connector.get("enabled") {
                Some(Value::Bool(true)) => unverified.then_some("enabled-unverified"),
                Some(Value::Bool(false)) => Some("disabled-connector"),
                Some(Value::Null) => Some("null enabled"),
                _ => Some("odd enabled"),
            };
            for rule in of_status.into_iter().chain(of_enabled) {
                show(rule);
            }
            if connector.get("use_fedramp_language").is_none() {
                show("absent language");
            }
            let domain = connector["email_domain"].as_str().unwrap();
            domains
                .entry(domain_key(domain).unwrap())
                .or_default()
                .push(account);
        }
    }
    for owners in domains.values().filter(|owners| owners.len() > 1) {
        shown.entry("duplicate-domain").or_default().extend(owners);
    }
    let expected = [
        "absent language",
        "absent status",
        "awaiting",
        "disabled-connector",
        "duplicate-domain",
        "enabled-unverified",
        "failed",
        "fedramp-inconsistent",
        "no-connector",
        "null enabled",
        "odd enabled",
        "pending",
        "stale-verification",
        "unrecognised status",
    ];
    assert_eq!(shown.keys().copied().collect::<Vec<_>>(), expected);
    assert_eq!(shown["duplicate-domain"].len(), 4);
    let touched: HashSet<&str> = shown.values().flatten().copied().collect();
    assert!(
        touched.len() * 2 < all.len(),
        "most accounts are healthy: {} of {} are not",
        touched.len(),
        all.len()
    );
}

#[tokio::test]
async fn the_demo_has_what_its_policy_speaks_of() {
    let sim = Sim::demo().await;
    for (account, name, domains) in [
        (
            "2a5a74ff96ae5d5d2665082ce4dd29ea",
            "Calder Agency Services",
            vec!["calderagency.example", "field.calderagency.example"],
        ),
        (
            "d67d6bf0fc6536d451222861169f79da",
            "Eastmarch Insurance Mutual",
            vec![
                "eastmarch.example",
                "claims.eastmarch.example",
                "acquired-startup.test",
            ],
        ),
        (
            "560880069cc0ec1cfae8f32dc0e1dcd0",
            "Ravensmoor Energy",
            vec!["ravensmoor.example"],
        ),
    ] {
        assert!(include_str!("../demo.rs").contains(&format!("id = \"{account}\"")));
        assert_eq!(
            sim.get(&format!("/accounts/{account}")).await.result()["name"],
            name
        );
        let connectors = sim.connectors(account).await;
        let found: Vec<&str> = connectors
            .iter()
            .map(|it| it["email_domain"].as_str().unwrap())
            .collect();
        assert_eq!(found, domains);
        assert!(
            connectors
                .iter()
                .all(|it| it["use_fedramp_language"] == json!(false))
        );
    }
}
