//! Pacing, headers and sockets.

use super::{READ_ONLY, Sim, TOKEN, now, options};
use crate::simulator::{Clock, Options, Rate, World, start};
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, DATE, RETRY_AFTER};
use std::collections::HashSet;
use std::io;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn limited(requests: u32, window: u64) -> Options {
    Options {
        rate: Some(Rate {
            requests,
            window: Duration::from_secs(window),
        }),
        more_tokens: vec![MORE.to_owned()],
        ..options()
    }
}

/// A further token.
const MORE: &str = "cfut_more0more0more0more0more0more0more00more0001";

#[tokio::test]
async fn over_the_limit_a_token_is_shut_out_for_a_whole_window() {
    let sim = Sim::with(World::generate(1, 1, 7, now()), limited(3, 300)).await;
    for (remaining, reset) in [(2, 300), (1, 290), (0, 280)] {
        let reply = sim.get("/accounts").await;
        assert_eq!(reply.status, 200);
        assert_eq!(
            reply.header("ratelimit"),
            Some(format!("\"default\";r={remaining};t={reset}").as_str())
        );
        assert_eq!(
            reply.header("ratelimit-policy"),
            Some("\"default\";q=3;w=300")
        );
        assert!(!reply.headers.contains_key(RETRY_AFTER));
        sim.pass(Duration::from_secs(10));
    }
    let over = sim.get("/accounts").await;
    assert_eq!(
        (over.header("retry-after"), over.header("ratelimit")),
        (Some("300"), Some("\"default\";r=0;t=300"))
    );
    assert_eq!(over.refusal(), (429, 971));
    // The first requests have left the window by now, and still nothing passes; asking does not lengthen it.
    sim.pass(Duration::from_millis(299_500));
    let over = sim.get("/user/tokens/verify").await;
    assert_eq!(over.header("retry-after"), Some("1"));
    assert_eq!(over.refusal(), (429, 971));
    // Another token has a limit of its own, and who has none has no limit.
    let other = sim
        .send(sim.request(Method::GET, "/accounts").bearer_auth(READ_ONLY))
        .await;
    assert_eq!(other.header("ratelimit"), Some("\"default\";r=2;t=300"));
    let more = sim
        .send(sim.request(Method::GET, "/accounts").bearer_auth(MORE))
        .await;
    assert_eq!(
        (more.status, more.header("ratelimit")),
        (other.status, other.header("ratelimit"))
    );
    assert_eq!(
        sim.send(sim.request(Method::GET, "/accounts"))
            .await
            .header("ratelimit"),
        None
    );
    sim.pass(Duration::from_millis(500));
    assert_eq!(
        sim.get("/accounts").await.header("ratelimit"),
        Some("\"default\";r=2;t=300")
    );
    assert_eq!((sim.running.requests(), sim.running.throttled()), (9, 2));
}

#[tokio::test]
async fn every_stretch_of_a_window_counts() {
    let sim = Sim::with(World::generate(1, 1, 7, now()), limited(2, 10)).await;
    assert_eq!(sim.get("/accounts").await.status, 200);
    sim.pass(Duration::from_secs(9));
    assert_eq!(sim.get("/accounts").await.status, 200);
    sim.pass(Duration::from_secs(1));
    // The first is a whole window old; the second counts on, across where a fixed window would begin anew.
    assert_eq!(sim.get("/accounts").await.status, 200);
    assert_eq!(sim.get("/accounts").await.status, 429);
}

#[tokio::test]
async fn refused_requests_count_too() {
    let sim = Sim::with(World::generate(1, 1, 7, now()), limited(2, 10)).await;
    assert_eq!(sim.get("/nowhere").await.status, 404);
    assert_eq!(
        sim.enable("/accounts/x/sso_connectors/y", true)
            .await
            .status,
        404
    );
    assert_eq!(sim.get("/accounts").await.status, 429);
}

#[tokio::test]
async fn every_answer_says_when_and_which_it_is() {
    let sim = Sim::empty().await;
    let mut rays = HashSet::new();
    for path in ["/accounts", "/nowhere", "/accounts", "/user/tokens/verify"] {
        let reply = sim.get(path).await;
        let ray = reply.header("cf-ray").unwrap();
        let (number, place) = ray.split_once('-').unwrap();
        assert!(
            number.len() == 16 && u64::from_str_radix(number, 16).is_ok() && place == "SYD",
            "{ray}"
        );
        assert!(rays.insert(ray.to_owned()));
        assert_eq!(reply.headers[DATE], "Sat, 21 Nov 2026 10:15:00 GMT");
        assert_eq!(reply.headers[CONTENT_TYPE], "application/json");
        assert_eq!(reply.header("ratelimit"), None);
    }
    let stranger = sim.send(sim.request(Method::GET, "/accounts")).await;
    assert!(rays.insert(stranger.header("cf-ray").unwrap().to_owned()));
}

#[tokio::test]
async fn answers_are_held_back_by_the_latency() {
    let latency = Duration::from_millis(40);
    let sim = Sim::with(
        World::generate(1, 1, 7, now()),
        Options {
            latency,
            ..options()
        },
    )
    .await;
    for path in ["/accounts", "/nowhere"] {
        let asked = Instant::now();
        sim.get(path).await;
        assert!(asked.elapsed() >= latency);
    }
    // Held back side by side, not one after the other.
    let asked = Instant::now();
    futures::future::join_all((0..50).map(|_| sim.get("/accounts"))).await;
    assert!(asked.elapsed() < latency * 25, "{:?}", asked.elapsed());
}

/// Sends a GET on an open connection and reads one answer.
async fn exchange(stream: &mut TcpStream, address: &str) -> String {
    let request = format!(
        "GET /client/v4/user/tokens/verify HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    read_answer(stream).await
}

async fn read_answer(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&answer).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .unwrap();
            if body.len() >= length.parse().unwrap() {
                return text;
            }
        }
        assert!(
            stream.read_buf(&mut answer).await.unwrap() > 0,
            "cut off: {text}"
        );
    }
}

fn address_of(sim: &Sim) -> String {
    sim.running
        .base_url()
        .replace("http://", "")
        .replace("/client/v4", "")
}

#[tokio::test]
async fn connections_are_kept_and_many_are_open_at_once() {
    let sim = Sim::empty().await;
    let address = address_of(&sim);
    let mut streams =
        futures::future::join_all((0..500).map(|_| TcpStream::connect(&address))).await;
    for _ in 0..2 {
        let answers = streams
            .iter_mut()
            .map(|stream| exchange(stream.as_mut().unwrap(), &address));
        for answer in futures::future::join_all(answers).await {
            assert!(
                answer.starts_with("HTTP/1.1 200 OK\r\n")
                    && answer.contains("\"status\":\"active\""),
                "{answer}"
            );
        }
    }
    assert_eq!(sim.running.requests(), 1000);
}

#[tokio::test]
async fn stopping_lets_answers_under_way_go_out() {
    let latency = Duration::from_millis(60);
    let sim = Sim::with(
        World::generate(1, 1, 7, now()),
        Options {
            latency,
            ..options()
        },
    )
    .await;
    let address = address_of(&sim);
    let mut idle = TcpStream::connect(&address).await.unwrap();
    exchange(&mut idle, &address).await;
    let mut busy = TcpStream::connect(&address).await.unwrap();
    let stop = async {
        while sim.running.requests() < 2 {
            tokio::task::yield_now().await;
        }
        let asked = Instant::now();
        sim.running.stop().await;
        asked.elapsed()
    };
    let (answer, stopping) = tokio::join!(exchange(&mut busy, &address), stop);
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(
        stopping < Duration::from_secs(2),
        "an idle connection held the end up: {stopping:?}"
    );
    assert_eq!(idle.read(&mut [0; 1]).await.unwrap(), 0);
    assert_eq!(
        TcpStream::connect(&address).await.unwrap_err().kind(),
        io::ErrorKind::ConnectionRefused
    );
}

#[tokio::test]
async fn what_cannot_be_served_is_refused_at_the_start() {
    async fn error(options: Options) -> (io::ErrorKind, String) {
        match start(World::generate(1, 1, 7, now()), options).await {
            Ok(_) => panic!("it started"),
            Err(error) => (error.kind(), error.to_string()),
        }
    }
    let (kind, text) = error(Options {
        listen: "0.0.0.0:0".parse().unwrap(),
        ..options()
    })
    .await;
    assert_eq!(kind, io::ErrorKind::InvalidInput);
    assert!(
        text.contains("loopback only") && text.contains("0.0.0.0:0"),
        "{text}"
    );
    let (kind, text) = error(Options {
        dns_listen: "0.0.0.0:53".parse().unwrap(),
        ..options()
    })
    .await;
    assert_eq!(kind, io::ErrorKind::InvalidInput);
    assert!(
        text.contains("loopback only") && text.contains("0.0.0.0:53"),
        "{text}"
    );
    for token in ["", "two words"] {
        assert_eq!(
            error(Options {
                token: token.to_owned(),
                ..options()
            })
            .await
            .0,
            io::ErrorKind::InvalidInput
        );
    }
    for rate in [limited(0, 300), limited(1, 0), limited(1, 86_401)] {
        let (kind, text) = error(rate).await;
        assert_eq!(kind, io::ErrorKind::InvalidInput);
        assert!(text.contains("rate limit"), "{text}");
    }
    let sim = Sim::empty().await;
    let taken = address_of(&sim).parse().unwrap();
    assert_eq!(
        error(Options {
            listen: taken,
            ..options()
        })
        .await
        .0,
        io::ErrorKind::AddrInUse
    );
}

#[test]
fn a_running_clock_begins_where_it_is_told() {
    let clock = Clock::running_from(now());
    let (first, second) = (clock.now(), clock.now());
    assert!(now() <= first && first <= second && second < now() + TimeDelta::seconds(60));
    assert_eq!(
        Clock::running_from(DateTime::<Utc>::MAX_UTC).now(),
        DateTime::<Utc>::MAX_UTC
    );
}

#[tokio::test(start_paused = true)]
async fn a_connection_to_the_name_server_is_not_kept_for_one_who_is_silent() {
    // Time goes by at once wherever nobody does anything.
    for begun in [&b""[..], b"\0", b"\0\x20half"] {
        let sim = Sim::empty().await;
        let mut silent = TcpStream::connect(sim.running.resolver()).await.unwrap();
        let asked = tokio::time::Instant::now();
        silent.write_all(begun).await.unwrap();
        assert_eq!(silent.read(&mut [0]).await.unwrap(), 0);
        let waited = asked.elapsed();
        assert!((9..12).contains(&waited.as_secs()), "{waited:?}");
    }
}
