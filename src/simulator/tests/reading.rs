//! What is asked and changes nothing.

use super::{NOBODY, READ_ONLY, Sim, is_id, now, options, time_of};
use crate::simulator::{Options, World};
use reqwest::Method;
use serde_json::json;
use std::collections::HashSet;

#[tokio::test]
async fn a_list_is_one_page_of_documented_connectors() {
    let sim = Sim::new(World::generate(2, 23, 7, now())).await;
    let reply = sim
        .get(&format!("/accounts/{}/sso_connectors", sim.accounts[0]))
        .await;
    assert_eq!(
        reply.body["result_info"],
        json!({"count": 23, "page": 1, "per_page": 23, "total_count": 23})
    );
    let list = reply.result();
    let fields = [
        "id",
        "email_domain",
        "enabled",
        "use_fedramp_language",
        "verification",
        "created_on",
        "updated_on",
    ];
    for connector in list.as_array().unwrap() {
        let keys: HashSet<&str> = connector
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(keys, HashSet::from(fields));
        assert!(is_id(connector["id"].as_str().unwrap()));
        assert!(
            connector["enabled"].is_boolean() && connector["use_fedramp_language"].is_boolean()
        );
        let code = connector["verification"]["code"].as_str().unwrap();
        assert!(is_id(
            code.strip_prefix("cloudflare_dashboard_sso=").unwrap()
        ));
        assert!(time_of(&connector["created_on"]) <= time_of(&connector["updated_on"]));
        assert!(time_of(&connector["updated_on"]) <= now());
    }
    let one = &list[5];
    let path = format!(
        "/accounts/{}/sso_connectors/{}",
        sim.accounts[0],
        one["id"].as_str().unwrap()
    );
    assert_eq!(&sim.get(&path).await.result(), one);
}

#[tokio::test]
async fn an_account_without_connectors_answers_an_empty_list() {
    let sim = Sim::empty().await;
    let reply = sim
        .get(&format!("/accounts/{}/sso_connectors", sim.accounts[0]))
        .await;
    assert_eq!(
        reply.body["result_info"],
        json!({"count": 0, "page": 1, "per_page": 20, "total_count": 0})
    );
    assert_eq!(reply.result(), json!([]));
}

#[tokio::test]
async fn accounts_come_in_pages_by_name() {
    let sim = Sim::demo().await;
    let mut seen = Vec::new();
    for page in 1.. {
        let reply = sim.get(&format!("/accounts?page={page}&per_page=5")).await;
        let info = reply.body["result_info"].clone();
        let accounts = reply.result();
        let count = accounts.as_array().unwrap().len();
        assert_eq!(
            info,
            json!({"count": count, "page": page, "per_page": 5, "total_count": sim.accounts.len()})
        );
        if count == 0 {
            break;
        }
        seen.extend(
            accounts
                .as_array()
                .unwrap()
                .iter()
                .map(|account| account["id"].as_str().unwrap().to_owned()),
        );
    }
    assert_eq!(seen, sim.accounts);

    assert_eq!(
        sim.get("/accounts")
            .await
            .result()
            .as_array()
            .unwrap()
            .len(),
        20
    );
    let last = sim
        .get("/accounts?direction=desc&per_page=5")
        .await
        .result();
    assert_eq!(
        last[0]["id"].as_str().unwrap(),
        sim.accounts.last().unwrap()
    );
    let none = sim
        .get(&format!("/accounts?page={}&per_page=50", u64::MAX))
        .await;
    assert_eq!(none.result(), json!([]));
}

#[tokio::test]
async fn accounts_are_found_by_a_part_of_their_name() {
    let sim = Sim::demo().await;
    for (query, names) in [
        (
            "name=tidewater+shipping",
            vec!["Tidewater Shipping", "Tidewater Shipping (Asia)"],
        ),
        ("name=%28Asia%29", vec!["Tidewater Shipping (Asia)"]),
        ("name=M%C3%BCnchen", vec!["Gerstenhof Brauerei München"]),
        ("name=nothing", vec![]),
        ("name=100%", vec![]),
    ] {
        let found = sim.get(&format!("/accounts?{query}")).await.result();
        let found: Vec<&str> = found
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["name"].as_str().unwrap())
            .collect();
        assert_eq!(found, names, "{query}");
    }
}

#[tokio::test]
async fn parameters_out_of_bounds_are_refused() {
    let world = World::demo(now());
    let organization = world.organizations().next().unwrap().0;
    let sim = Sim::new(world).await;
    for query in [
        "page=0",
        "page=-1",
        "page=x",
        "page=",
        "per_page=4",
        "per_page=51",
        "per_page=1e1",
        "direction=up",
    ] {
        assert_eq!(
            sim.get(&format!("/accounts?{query}")).await.refusal(),
            (400, 10400),
            "{query}"
        );
    }
    for query in [
        "page_size=-1",
        "page_size=1001",
        "page_size=x",
        "page_token=x",
        &format!("page_token={NOBODY}"),
    ] {
        let path = format!("/organizations/{organization}/accounts?{query}");
        assert_eq!(sim.get(&path).await.refusal(), (400, 10400), "{query}");
    }
}

#[tokio::test]
async fn an_account_has_the_documented_details() {
    let world = World::demo(now());
    let (organization, organization_name) = world
        .organizations()
        .next()
        .map(|(id, name)| (id, name.to_owned()))
        .unwrap();
    let managed = Sim::account_named(&world, "Kestrel Bay Ferries");
    let alone = Sim::account_named(&world, "Lanternfish Games");
    let sim = Sim::new(world).await;
    let account = sim.get(&format!("/accounts/{managed}")).await.result();
    assert_eq!(account["name"], "Kestrel Bay Ferries");
    assert_eq!(
        account["managed_by"],
        json!({"parent_org_id": organization, "parent_org_name": organization_name})
    );
    assert!(["standard", "enterprise"].contains(&account["type"].as_str().unwrap()));
    assert!(account["settings"]["enforce_twofactor"].is_boolean());
    assert!(time_of(&account["created_on"]) < now());
    let account = sim.get(&format!("/accounts/{alone}")).await.result();
    assert_eq!(
        (&account["id"], account.get("managed_by")),
        (&json!(alone), None)
    );
}

#[tokio::test]
async fn an_organization_lists_its_accounts_by_page_token() {
    let world = World::generate(12, 0, 7, now());
    let organization = world.organizations().next().unwrap().0;
    let sim = Sim::new(world).await;
    let path = format!("/organizations/{organization}/accounts");
    for (query, pages) in [
        ("?page_size=3", 4),
        ("?page_size=5", 2),
        ("?page_size=10", 1),
        ("?page_size=0", 1),
        ("", 1),
    ] {
        let (mut seen, mut asked, mut address) = (HashSet::new(), 0, format!("{path}{query}"));
        loop {
            let reply = sim.get(&address).await;
            let info = reply.body["result_info"].clone();
            assert_eq!(info["total_size"], 10);
            for account in reply.result().as_array().unwrap() {
                assert_eq!(account["managed_by"]["parent_org_id"], json!(organization));
                assert!(seen.insert(account["id"].as_str().unwrap().to_owned()));
            }
            asked += 1;
            match info["next_page_token"].as_str() {
                Some(token) => address = format!("{path}{query}&page_token={token}"),
                None => break,
            }
        }
        assert_eq!((seen.len(), asked), (10, pages), "{query}");
    }
}

#[tokio::test]
async fn organizations_are_listed_by_what_narrows_the_list() {
    let world = World::generate(60, 0, 7, now()).with_organizations(7, 7, now());
    let (root, name) = world
        .organizations()
        .next()
        .map(|(id, name)| (id, name.to_lowercase()))
        .unwrap();
    let account = world.accounts.iter().find(|a| a.organization.is_some());
    let account = account.unwrap().id.to_string();
    let sim = Sim::new(world).await;
    let ids = async |query: &str| -> Vec<String> {
        let found = sim.get(&format!("/organizations?{query}")).await.result();
        let ids = found.as_array().unwrap().iter();
        ids.map(|found| found["id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(ids("").await.len(), 7);
    assert_eq!(ids("parent.id=null").await, std::slice::from_ref(&root));
    let under = ids(&format!("parent.id={root}")).await;
    assert_eq!(under.len(), 2);
    assert_eq!(ids(&format!("parent.id={}", under[0])).await.len(), 2);
    let two = ids(&format!("id={}&id={}", under[0], under[1])).await;
    assert_eq!(two, under);
    let above = ids(&format!("containing.organization={}", under[0])).await;
    assert_eq!(above, [root.clone(), under[0].clone()]);
    let holders = ids(&format!("containing.account={account}")).await;
    assert_eq!(holders[0], root);
    let begin = name.split(' ').next().unwrap();
    assert_eq!(ids(&format!("name.startsWith={begin}")).await.len(), 7);
    assert_eq!(ids("name.contains=NOBODY").await.len(), 0);
    // The second of the lower two, and the last of all.
    let last = ids(&format!("parent.id={}", under[1])).await[1].clone();
    for path in [
        format!("/organizations/{last}/accounts"),
        format!("/organizations?parent.id={last}"),
    ] {
        assert_eq!(sim.get(&path).await.refusal(), (403, 10000), "{path}");
    }
}

#[tokio::test]
async fn a_token_verifies_where_its_kind_belongs() {
    let user = Sim::empty().await;
    let reply = user.get("/user/tokens/verify").await;
    assert_eq!(reply.body["messages"][0]["code"], 10000);
    let token = reply.result();
    assert!(is_id(token["id"].as_str().unwrap()));
    assert_eq!(token["status"], "active");
    let path = format!("/accounts/{}/tokens/verify", user.accounts[0]);
    assert_eq!(user.get(&path).await.refusal(), (401, 1000));
    assert_eq!(
        user.get(&format!("/accounts/{NOBODY}/tokens/verify"))
            .await
            .refusal(),
        (404, 7003)
    );
    let other = user
        .send(
            user.request(Method::GET, "/user/tokens/verify")
                .bearer_auth(READ_ONLY),
        )
        .await
        .result();
    assert_ne!(other["id"], token["id"]);

    let options = Options {
        account_owned_token: true,
        ..options()
    };
    let account = Sim::with(World::generate(1, 1, 7, now()), options).await;
    let path = format!("/accounts/{}/tokens/verify", account.accounts[0]);
    assert_eq!(account.get(&path).await.result()["status"], "active");
    assert_eq!(
        account.get("/user/tokens/verify").await.refusal(),
        (401, 1000)
    );
    assert_eq!(account.get("/accounts").await.refusal(), (400, 1001));
    assert_eq!(account.connectors(&account.accounts[0]).await.len(), 1);
}
