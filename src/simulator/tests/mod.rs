//! The simulator over its sockets, as a client meets it. Time is moved by hand.

mod reading;
mod refusing;
mod serving;
mod worlds;
mod writing;

use super::Troubles;
use super::{Clock, Options, Running, World, start};
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const TOKEN: &str = "cfut_all";
const READ_ONLY: &str = "cfut_read";
const NOBODY: &str = "00000000000000000000000000000000";
const DELAY: Duration = Duration::from_secs(60);

fn now() -> DateTime<Utc> {
    "2026-11-21T10:15:00.25Z".parse().unwrap()
}

fn options() -> Options {
    Options {
        listen: "127.0.0.1:0".parse().unwrap(),
        dns_listen: "127.0.0.1:0".parse().unwrap(),
        token: TOKEN.to_owned(),
        more_tokens: Vec::new(),
        read_only_token: Some(READ_ONLY.to_owned()),
        rate: None,
        latency: Duration::ZERO,
        account_owned_token: false,
        troubles: Troubles::default(),
    }
}

/// A world that is served, its time, and who calls it.
struct Sim {
    running: Running,
    client: Client,
    time: Arc<Mutex<DateTime<Utc>>>,
    accounts: Vec<String>,
}

struct Reply {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl Reply {
    #[track_caller]
    fn result(self) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        assert_eq!(self.body["success"], true);
        assert_eq!(self.body["errors"], json!([]));
        assert!(self.body["messages"].is_array());
        self.body["result"].clone()
    }

    /// Status and code of a failure in its documented envelope.
    #[track_caller]
    fn refusal(self) -> (u16, u64) {
        let keys: HashSet<&str> = self
            .body
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(
            keys,
            HashSet::from(["success", "errors", "messages", "result"]),
            "{}",
            self.body
        );
        assert_eq!(self.body["success"], false);
        assert_eq!(self.body["messages"], json!([]));
        assert_eq!(self.body["result"], Value::Null);
        assert_eq!(self.body["errors"].as_array().unwrap().len(), 1);
        let error = &self.body["errors"][0];
        assert!(!error["message"].as_str().unwrap().is_empty());
        (self.status, error["code"].as_u64().unwrap())
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

impl Sim {
    async fn new(world: World) -> Self {
        Self::with(world, options()).await
    }

    /// Three accounts without a connector.
    async fn empty() -> Self {
        Self::new(World::generate(3, 0, 7, now())).await
    }

    async fn demo() -> Self {
        Self::new(World::demo(now())).await
    }

    async fn with(world: World, options: Options) -> Self {
        let time = Arc::new(Mutex::new(now()));
        let shown = Arc::clone(&time);
        let clock = Clock::new(move || *shown.lock().unwrap());
        let accounts = world.accounts().map(|(id, _)| id).collect();
        let running = start(
            world.with_clock(clock).with_verification_delay(DELAY),
            options,
        )
        .await
        .unwrap();
        Self {
            running,
            client: Client::builder().no_proxy().build().unwrap(),
            time,
            accounts,
        }
    }

    fn pass(&self, time: Duration) {
        *self.time.lock().unwrap() += TimeDelta::from_std(time).unwrap();
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.running.base_url()))
    }

    async fn send(&self, request: RequestBuilder) -> Reply {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await.unwrap();
        Reply {
            status,
            headers,
            body: serde_json::from_slice(&bytes).unwrap_or_default(),
        }
    }

    async fn get(&self, path: &str) -> Reply {
        self.send(self.request(Method::GET, path).bearer_auth(TOKEN))
            .await
    }

    async fn call(&self, method: Method, path: &str, body: Value) -> Reply {
        self.send(self.request(method, path).bearer_auth(TOKEN).json(&body))
            .await
    }

    async fn connectors(&self, account: &str) -> Vec<Value> {
        match self
            .get(&format!("/accounts/{account}/sso_connectors"))
            .await
            .result()
        {
            Value::Array(connectors) => connectors,
            other => panic!("not a list: {other}"),
        }
    }

    /// Makes a connector; its path.
    async fn create(&self, account: usize, domain: &str) -> String {
        let path = format!("/accounts/{}/sso_connectors", self.accounts[account]);
        let made = self
            .call(Method::POST, &path, json!({"email_domain": domain}))
            .await
            .result();
        format!("{path}/{}", made["id"].as_str().unwrap())
    }

    async fn begin(&self, path: &str) -> Reply {
        self.send(
            self.request(Method::POST, &format!("{path}/begin_verification"))
                .bearer_auth(TOKEN),
        )
        .await
    }

    async fn status(&self, path: &str) -> String {
        self.get(path).await.result()["verification"]["status"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    async fn enable(&self, path: &str, enabled: bool) -> Reply {
        self.call(Method::PATCH, path, json!({"enabled": enabled}))
            .await
    }

    fn account_named(world: &World, name: &str) -> String {
        world
            .accounts()
            .find(|(_, known)| *known == name)
            .unwrap()
            .0
    }
}

fn is_id(text: &str) -> bool {
    text.len() == 32
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[track_caller]
fn time_of(value: &Value) -> DateTime<Utc> {
    let text = value.as_str().unwrap();
    assert_eq!(
        (text.len(), &text[19..20], &text[24..]),
        (25, ".", "Z"),
        "{text}"
    );
    text.parse().unwrap()
}
