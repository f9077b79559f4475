//! What an audit cannot go below on a machine, whatever it is written like: fetching the answers with the same HTTP client,
//! parsing each once, and bringing the bytes of its files to the disk with their checksums.
//!
//! `cargo bench --bench floor -- BASE_URL ACCOUNTS_FILE RUN`, against the server that the audit of that run asked. Each step is
//! done five times, by itself and with nothing else; the table has the quickest.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "as in tests: where a step fails, nothing is left to measure"
)]

use std::fs::{self, File};
use std::hint::black_box;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cf_sso_audit::model::Connector;
use cf_sso_audit::sha256::Sha256;
use cf_sso_audit::threads::on_all;
use tokio::task::JoinSet;

/// Requests in progress at once, as in an audit.
const CONCURRENCY: usize = 32;
const ROUNDS: usize = 5;

#[derive(serde::Deserialize)]
struct List {
    result: Vec<Connector>,
}

fn main() {
    let arguments: Vec<_> = std::env::args().filter(|it| it != "--bench").collect();
    let [_, base, accounts, run] = arguments.as_slice() else {
        println!("usage: cargo bench --bench floor -- BASE_URL ACCOUNTS_FILE RUN");
        return;
    };
    let accounts = fs::read_to_string(accounts).unwrap();
    let urls: Vec<_> = accounts
        .lines()
        .map(|id| format!("{base}/accounts/{id}/sso_connectors"))
        .collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut bodies = Vec::new();
    let fetch = quickest(|| bodies = runtime.block_on(fetched(&urls)));
    let parse = quickest(|| {
        for_each(&bodies, |body| {
            black_box(parsed(body));
        })
    });
    let files: Vec<_> = fs::read_dir(run)
        .unwrap()
        .map(|entry| fs::read(entry.unwrap().path()).unwrap())
        .collect();
    let megabytes: usize = files.iter().map(Vec::len).sum::<usize>() / 1_000_000;
    let sum = quickest(|| {
        for_each(&files, |file| {
            black_box(Sha256::of(file));
        })
    });
    let beside = Path::new(run).parent().unwrap();
    let write = quickest(|| written(&files, beside));
    println!("fetching {} answers: {fetch:?}", bodies.len());
    println!("parsing them once: {parse:?}");
    println!("SHA-256 of {megabytes} MB: {sum:?}");
    println!("writing and syncing as much: {write:?}");
    println!("together: {:?}", fetch + parse + sum + write);
}

fn quickest(mut step: impl FnMut()) -> Duration {
    let time = |_| {
        let began = Instant::now();
        step();
        began.elapsed()
    };
    (0..ROUNDS).map(time).min().unwrap()
}

async fn fetched(urls: &[String]) -> Vec<Bytes> {
    let client = reqwest::Client::new();
    let mut bodies = Vec::with_capacity(urls.len());
    let mut under_way = JoinSet::new();
    for url in urls {
        if under_way.len() == CONCURRENCY {
            bodies.push(under_way.join_next().await.unwrap().unwrap());
        }
        let request = client.get(url).send();
        under_way.spawn(async { request.await.unwrap().bytes().await.unwrap() });
    }
    bodies.extend(under_way.join_all().await);
    bodies
}

fn parsed(body: &[u8]) -> Vec<Connector> {
    let list: List = serde_json::from_slice(body).unwrap();
    list.result
}

/// On all processors.
fn for_each<T: Sync>(items: &[T], work: impl Fn(&T) + Sync) {
    let left = Mutex::new(items.iter());
    on_all(|| {
        while let Some(item) = { left.lock().unwrap().next() } {
            work(item);
        }
    });
}

fn written(files: &[Vec<u8>], folder: &Path) {
    let folder = tempfile::tempdir_in(folder).unwrap();
    let numbered: Vec<_> = files.iter().enumerate().collect();
    for_each(&numbered, |(number, bytes)| {
        let mut file = File::create(folder.path().join(number.to_string())).unwrap();
        file.write_all(bytes).unwrap();
        file.sync_data().unwrap();
    });
}
