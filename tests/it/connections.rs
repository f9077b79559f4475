//! TLS, proxies and time: how every command reaches the API, and how it does not.

use std::net::TcpListener;

use serde_json::{Value, json};
use tokio::net::TcpSocket;

use crate::support::*;

/// Answers what each command asks: the token's state, two accounts, and a connector of each.
fn api(request: &Request) -> Reply {
    let path = request.path.strip_prefix("/client/v4").unwrap_or_default();
    if path == "/user/tokens/verify" {
        return success(json!({"id": "f".repeat(32), "status": "active"}));
    }
    if path.starts_with("/accounts?") {
        let first = request.parameter("page") == Some("1");
        let accounts: Vec<_> = ids(if first { 2 } else { 0 })
            .into_iter()
            .map(|id| json!({"id": id, "name": "An account"}))
            .collect();
        return success(json!(accounts));
    }
    let awaiting = json!({"enabled": false, "verification": {"code": "cloudflare_dashboard_sso=x", "status": "awaiting"}});
    let list = json!([connector_with(1, "a.example", awaiting)]);
    let accounts: Vec<(String, Value)> = ids(2).into_iter().map(|id| (id, list.clone())).collect();
    connectors_of(&accounts, request)
}

fn tls() -> TlsServer {
    TlsServer::before(Server::start(api))
}

/// A command at an address, with one attempt for each request.
fn at(mut program: Program, url: &str) -> Program {
    program = program.args(["--retries", "0", "--base-url", url]);
    program.env("CLOUDFLARE_API_TOKEN", TOKEN)
}

/// Each command that asks the API, at an address, by a name.
fn commands(url: &str) -> Vec<(&'static str, Program)> {
    vec![
        ("audit", at(program("audit").arg(id(1)), url)),
        (
            "connector list",
            at(program("connector").args(["list", &id(1)]), url),
        ),
        ("accounts", at(program("accounts"), url)),
        ("doctor", at(program("doctor").arg(id(1)), url)),
    ]
}

fn with_ca(program: Program) -> Program {
    program.arg("--ca-file").arg(tls_file("ca.pem"))
}

/// The account of the audit is unread, and why.
#[track_caller]
fn unread(outcome: &Outcome) -> (String, String) {
    let row = outcome.account(&id(1));
    (row["error_kind"].clone(), row["error_message"].clone())
}

/// What the command said to people, on whichever stream; of the audit, what is in its table.
#[track_caller]
fn told(name: &str, outcome: &Outcome) -> String {
    match name {
        "audit" => unread(outcome).1,
        _ => format!("{}{}", outcome.stdout, outcome.stderr),
    }
}

/// The exit code of a command that could not reach the API.
fn failed(name: &str) -> i32 {
    if name == "audit" { 3 } else { 1 }
}

/// A port on which nothing listens, and which nobody else gets meanwhile.
fn closed_port() -> (TcpSocket, String) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap().to_string();
    (socket, address)
}

#[test]
fn a_certificate_of_an_unknown_issuer_is_refused_before_anything_is_sent() {
    let tls = tls();
    let outcome = at(program("audit").arg(id(1)), &tls.base_url())
        .run()
        .expect(3);
    let (kind, message) = unread(&outcome);
    assert_eq!(kind, "connect");
    for part in ["invalid peer certificate", "UnknownIssuer", "--ca-file"] {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(tls.handshakes(), [false]);
    assert_eq!(tls.server.requests().len(), 0);
}

#[test]
fn a_further_root_is_trusted_by_every_command_and_by_those_only_that_name_it() {
    let tls = tls();
    for (name, program) in commands(&tls.base_url()) {
        tls.server.now(api);
        let outcome = with_ca(program).run().expect(0);
        let found = match name {
            "audit" => outcome.account(&id(1))["error_kind"].is_empty(),
            "accounts" => outcome.stdout.contains(&id(2)),
            "doctor" => outcome.stdout.contains("1 connector can be read"),
            _ => outcome.stdout.contains("a.example"),
        };
        assert!(found, "{name}: {}", outcome.stdout);
        let requests = tls.server.requests();
        assert!(!requests.is_empty(), "{name}");
        for request in requests {
            let bearer = format!("Bearer {TOKEN}");
            assert_eq!(request.header("authorization"), Some(&*bearer), "{name}");
        }
    }
    tls.server.now(api);
    for (name, program) in commands(&tls.base_url()) {
        let outcome = program.run().expect(failed(name));
        let told = told(name, &outcome);
        assert!(told.contains("invalid peer certificate"), "{name}: {told}");
    }
    assert_eq!(tls.server.requests().len(), 0);
}

#[test]
fn a_plan_is_carried_out_by_tls_and_a_proxy_too() {
    let tls = tls();
    let proxy = Proxy::to(tls.address());
    let dir = shared_dir();
    let begin = |subcommand, argument: &str| {
        let program = at(program_in(&dir, subcommand).arg(argument), &tls.base_url());
        with_ca(program).env("HTTPS_PROXY", proxy.url())
    };
    let run_dir = begin("audit", &id(1)).run().expect(0).run_dir();
    tls.server.now(|request| match &*request.method {
        "GET" if !request.account().is_empty() => api(request),
        "GET" => {
            let list = json!({"enabled": false, "verification": {"code": "cloudflare_dashboard_sso=x", "status": "awaiting"}});
            success(connector_with(1, "a.example", list))
        }
        _ => success(Value::Null),
    });
    begin("fix", run_dir.to_str().unwrap())
        .arg("--apply")
        .run()
        .expect(0);
    let requests = tls.server.requests();
    let last = requests.last().unwrap();
    assert_eq!(last.method, "POST");
    assert!(last.path.ends_with("/begin_verification"), "{}", last.path);
    assert!(proxy.heads().len() >= 2, "each command goes through it");
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    let tls = tls();
    let proxy = Proxy::to(tls.address());
    let elsewhere = "https://api.elsewhere.example/client/v4";
    let outcome = with_ca(at(program("audit").arg(id(1)), elsewhere))
        .env("HTTPS_PROXY", proxy.url())
        .run()
        .expect(3);
    let (kind, message) = unread(&outcome);
    assert_eq!(kind, "connect");
    assert!(message.contains("not valid for name"), "{message}");
    assert!(!message.contains("--ca-file"), "{message}");
    assert_eq!(tls.server.requests().len(), 0);
}

#[test]
fn a_ca_file_that_is_none_is_refused_by_every_command_before_anything_is_sent() {
    let tls = tls();
    let garbled =
        "-----BEGIN CERTIFICATE-----\nbm90IGEgY2VydGlmaWNhdGU=\n-----END CERTIFICATE-----\n";
    let cut_off = "-----BEGIN CERTIFICATE-----\nbm90IGEgY2Vyd\n";
    let key = std::fs::read(tls_file("server.key")).unwrap();
    let none = "contains no PEM certificate";
    for (content, said) in [
        (None, "cannot be read: No such file"),
        (Some(&b""[..]), none),
        (Some(b"no certificate at all\n"), none),
        (Some(&key), none),
        (
            Some(garbled.as_bytes()),
            "contains a certificate that cannot be used: invalid",
        ),
        (
            Some(cut_off.as_bytes()),
            "contains a certificate that cannot be used: invalid",
        ),
    ] {
        for (name, program) in commands(&tls.base_url()) {
            let path = program.dir().join("root.pem");
            if let Some(content) = content {
                program.file("root.pem", content);
            }
            let outcome = program.arg("--ca-file").arg(&path).run().expect(2);
            let file = format!("--ca-file {}", path.display());
            let outcome = outcome.says(&[&file, said, "hint: "]);
            assert!(!outcome.reports().exists(), "{name} left a run");
        }
    }
    assert_eq!(tls.handshakes().len(), 0);
}

#[test]
fn a_proxy_sees_where_to_and_never_the_token() {
    let tls = tls();
    for variable in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        let proxy = Proxy::to(tls.address());
        for (name, program) in commands(&tls.base_url()) {
            let before = proxy.heads().len();
            let outcome = with_ca(program).env(variable, proxy.url()).run().expect(0);
            let heads = proxy.heads().split_off(before);
            assert!(!heads.is_empty(), "{name} with {variable}");
            for head in heads {
                let line = format!("CONNECT localhost:{} HTTP/1.1", tls.address().port());
                assert_eq!(head.lines().next(), Some(&*line), "{name}");
                assert!(!head.to_lowercase().contains("authorization"), "{head}");
            }
            if name == "doctor" {
                let way = format!("answers through the proxy {}", proxy.url());
                assert!(outcome.stdout.contains(&way), "{}", outcome.stdout);
            }
        }
        let heard = proxy.heard();
        let tunnels = heard.iter().filter(|bytes| bytes.len() > 500).count();
        assert!(
            tunnels >= commands(&tls.base_url()).len(),
            "they were heard too"
        );
        for bytes in heard {
            assert!(!bytes.windows(TOKEN.len()).any(|w| w == TOKEN.as_bytes()));
        }
    }
}

#[test]
fn a_proxys_user_and_password_go_to_the_proxy_alone_and_stand_nowhere() {
    let tls = tls();
    let proxy = Proxy::to(tls.address());
    let url = proxy.url_with("someone", "hunter2");
    let mut outcomes = Vec::new();
    for (_, program) in commands(&tls.base_url()) {
        let program = with_ca(program).env("HTTPS_PROXY", &url);
        outcomes.push(program.env("RUST_LOG", "trace").run().expect(0));
    }
    for head in proxy.heads() {
        let header = "proxy-authorization: basic c29tzw9uztpodw50zxiy";
        assert!(head.to_lowercase().contains(header), "{head}");
    }
    for request in tls.server.requests() {
        assert_eq!(request.header("proxy-authorization"), None);
    }
    let (_kept, closed) = closed_port();
    for (name, program) in commands(&tls.base_url()) {
        let unreachable = format!("http://someone:hunter2@{closed}");
        let program = with_ca(program).env("HTTPS_PROXY", unreachable);
        outcomes.push(program.run().expect(failed(name)));
    }
    for (name, bytes) in outcomes.iter().flat_map(Outcome::everything) {
        let text = String::from_utf8_lossy(&bytes);
        for secret in ["hunter2", "c29tZW9uZTpodW50ZXIy"] {
            assert!(!text.contains(secret), "{name}: {text}");
        }
    }
}

#[test]
fn no_proxy_goes_past_the_proxy() {
    let tls = tls();
    let proxy = Proxy::to(tls.address());
    for (variable, value) in [
        ("NO_PROXY", "localhost"),
        ("no_proxy", "other.example, localhost"),
        ("NO_PROXY", "*"),
    ] {
        for (_, program) in commands(&tls.base_url()) {
            with_ca(program)
                .env("HTTPS_PROXY", proxy.url())
                .env(variable, value)
                .run()
                .expect(0);
        }
    }
    assert_eq!(proxy.heard().len(), 0);
    let elsewhere = commands(&tls.base_url()).remove(0).1;
    with_ca(elsewhere)
        .env("HTTPS_PROXY", proxy.url())
        .env("NO_PROXY", "other.example,10.0.0.0/8")
        .run()
        .expect(0);
    assert!(!proxy.heads().is_empty());
}

#[test]
fn http_on_this_machine_goes_past_every_proxy() {
    let server = Server::start(api);
    let proxy = Server::start(|_| failure(502, 1, "a proxy was asked"));
    for (_, mut program) in commands(&server.base_url()) {
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
            program = program.env(name, proxy.base_url());
            program = program.env(&name.to_lowercase(), proxy.base_url());
        }
        program.run().expect(0);
    }
    assert_eq!(proxy.requests().len(), 0);
}

#[test]
fn a_proxy_that_cannot_be_reached_is_named() {
    let tls = tls();
    let (_kept, closed) = closed_port();
    for (name, program) in commands(&tls.base_url()) {
        let outcome = with_ca(program)
            .env("HTTPS_PROXY", format!("http://{closed}"))
            .run()
            .expect(failed(name));
        let told = told(name, &outcome);
        let way = format!("cannot connect through the proxy http://{closed}: ");
        assert!(told.contains(&way), "{name}: {told}");
        assert!(told.contains("refused"), "{name}: {told}");
        if name == "audit" {
            assert_eq!(unread(&outcome).0, "connect");
        }
    }
    assert_eq!(tls.handshakes().len(), 0);
}

#[test]
fn a_proxy_that_refuses_is_named_with_its_reason() {
    let tls = tls();
    for (status, reason) in [(407, "proxy authorization required"), (403, "unsuccessful")] {
        let proxy = Server::start(move |_| failure(status, 1, "no"));
        let url = proxy.base_url();
        let outcome = with_ca(at(program("audit").arg(id(1)), &tls.base_url()))
            .env("HTTPS_PROXY", &url)
            .run()
            .expect(3);
        let (kind, message) = unread(&outcome);
        assert_eq!(kind, "connect");
        let way = url.replace("/client/v4", ": ");
        assert!(message.contains(&way), "{message}");
        assert!(message.contains(reason), "{message}");
        assert_eq!(proxy.requests()[0].method, "CONNECT");
    }
    assert_eq!(tls.handshakes().len(), 0);
}

#[test]
fn a_proxy_that_cannot_be_used_is_refused_and_not_gone_past() {
    let tls = tls();
    for value in [
        "socks5://someone:hunter2@127.0.0.1:1",
        "ftp://127.0.0.1:1",
        "http://",
        "not an address hunter2",
    ] {
        for variable in ["HTTPS_PROXY", "all_proxy"] {
            for (_, program) in commands(&tls.base_url()) {
                let outcome = with_ca(program).env(variable, value).run().expect(2);
                let said = format!("{variable} is not a usable proxy address");
                let outcome = outcome.says(&[&said, "http://proxy.example:3128"]);
                assert!(!outcome.stderr.contains("hunter2"), "{}", outcome.stderr);
            }
        }
    }
    assert_eq!(tls.handshakes().len(), 0);
    // One that is not taken does no harm, and an empty one is none.
    for (https, all) in [("", ""), ("", "socks5://127.0.0.1:1")] {
        let outcome = with_ca(at(program("doctor"), &tls.base_url()))
            .env("HTTPS_PROXY", https)
            .env("ALL_PROXY", all)
            .run();
        outcome.expect(if all.is_empty() { 0 } else { 2 });
    }
    let proxy = Proxy::to(tls.address());
    with_ca(at(program("doctor"), &tls.base_url()))
        .env("HTTPS_PROXY", proxy.url())
        .env("ALL_PROXY", "socks5://127.0.0.1:1")
        .run()
        .expect(0);
    assert_eq!(proxy.heard().len(), 1);
}

/// The timeout holds for every command, wherever the silence is.
#[track_caller]
fn ends_in_time(url: &str, proxy: Option<&str>, way: &str) {
    for (name, mut program) in commands(url) {
        if let Some(proxy) = proxy {
            program = program.env("HTTPS_PROXY", proxy);
        }
        let outcome = program
            .args(["--timeout", "300ms"])
            .run()
            .expect(failed(name));
        let said = format!("no complete answer within 0.3 s{way}");
        let told = told(name, &outcome);
        assert!(told.contains(&said), "{name}: {told}");
        if name == "audit" {
            assert_eq!(unread(&outcome).0, "timeout");
        }
    }
}

#[test]
fn a_server_that_says_nothing_is_not_waited_for() {
    let server = Server::start(|_| Reply::Hang);
    ends_in_time(&server.base_url(), None, "");
}

#[test]
fn a_server_that_never_greets_is_not_waited_for() {
    // The system takes the connections; nobody reads them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    ends_in_time(&format!("https://{address}/client/v4"), None, "");
}

#[test]
fn a_proxy_that_says_nothing_is_not_waited_for_and_named() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = format!("http://{}", silent.local_addr().unwrap());
    let way = format!(" through the proxy {proxy}");
    let url = "https://api.elsewhere.example/client/v4";
    ends_in_time(url, Some(&proxy), &way);
}

#[test]
fn an_address_that_is_no_text_is_not_taken_for_the_default_one() {
    use std::os::unix::ffi::OsStrExt;
    let odd = std::ffi::OsStr::from_bytes(b"http://127.0.0.1:9/\xff");
    program("connector")
        .args(["list", &id(1), "--dry-run"])
        .env("CLOUDFLARE_BASE_URL", odd)
        .run()
        .expect(2)
        .says(&["CLOUDFLARE_BASE_URL is not UTF-8 text"]);
}
