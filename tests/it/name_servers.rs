//! The simulator's name server over its sockets, as a resolver meets it.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::time::{Duration, Instant};

use cf_sso_audit::simulator::World;
use hickory_resolver::proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, RecordType};

use crate::simulated::{Simulated, VERIFICATION};
use crate::support::*;

/// Longer than any answer takes, and no wait where there is one.
const PATIENCE: Duration = Duration::from_secs(20);
/// As many as the name server serves at a time.
const CONNECTIONS: usize = 64;

fn question(id: u16, name: &str) -> Vec<u8> {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    let name = Name::from_str(name).unwrap();
    message.add_query(Query::query(name, RecordType::TXT));
    let mut edns = Edns::new();
    edns.set_max_payload(1232);
    message.set_edns(edns);
    message.to_vec().unwrap()
}

fn over_udp(resolver: SocketAddr, name: &str) -> Message {
    let socket = UdpSocket::bind((resolver.ip(), 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect(resolver).unwrap();
    // What is malformed has no answer, and so the first answer is that of the question.
    for message in [&b"\0"[..], &[0xff; 600], &question(7, name)] {
        socket.send(message).unwrap();
    }
    let mut answer = [0; 4096];
    let length = socket.recv(&mut answer).unwrap();
    let answer = Message::from_vec(&answer[..length]).unwrap();
    assert_eq!(answer.id, 7);
    answer
}

/// A connection that takes one question after another.
struct Connection(TcpStream);

impl Connection {
    fn open(resolver: SocketAddr) -> Self {
        let stream = TcpStream::connect(resolver).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(stream)
    }

    fn send(&mut self, message: &[u8]) {
        let length = u16::try_from(message.len()).unwrap();
        self.0.write_all(&length.to_be_bytes()).unwrap();
        self.0.write_all(message).unwrap();
    }

    fn receive(&mut self) -> Message {
        let mut length = [0; 2];
        self.0.read_exact(&mut length).unwrap();
        let mut answer = vec![0; u16::from_be_bytes(length).into()];
        self.0.read_exact(&mut answer).unwrap();
        Message::from_vec(&answer).unwrap()
    }

    fn ask(&mut self, name: &str) -> Message {
        self.send(&question(7, name));
        self.receive()
    }
}

fn texts(message: &Message) -> Vec<String> {
    let texts = message.answers.iter().map(|record| match &record.data {
        RData::TXT(txt) => String::from_utf8(txt.txt_data.concat()).unwrap(),
        other => panic!("{other:?}"),
    });
    texts.collect()
}

#[test]
fn udp_and_tcp_give_the_same_answers_but_for_what_does_not_fit() {
    let simulated = Simulated::start(World::demo);
    let resolver = simulated.running.resolver();
    let mut connection = Connection::open(resolver);
    for (name, code, records) in [
        ("windrush.example.", ResponseCode::NoError, 2),
        ("returns.legacy-imports.example.", ResponseCode::NoError, 0),
        ("_cloudflare.shop.ironbark.test.", ResponseCode::NoError, 1),
        ("www.shop.ironbark.test.", ResponseCode::NXDomain, 0),
        ("failing-mx.elmsworth.example.", ResponseCode::NXDomain, 0),
        ("archive.legacy-imports.example.", ResponseCode::ServFail, 0),
    ] {
        let answer = over_udp(resolver, name);
        assert_eq!(answer.response_code, code, "{name}");
        assert_eq!(answer.answers.len(), records, "{name}");
        assert_eq!(answer, connection.ask(name), "{name}");
    }
    let short = over_udp(resolver, "foxglove.example.");
    assert!(short.truncation && short.answers.is_empty());
    let whole = connection.ask("foxglove.example.");
    assert!(!whole.truncation && whole.answers.len() == 26);
    // Many questions at once on one connection.
    for id in 0..100 {
        connection.send(&question(id, "foxglove.example."));
    }
    for id in 0..100 {
        assert_eq!(connection.receive().id, id);
    }
    assert_eq!(simulated.running.questions(), 6 * 2 + 2 + 100);
}

#[test]
fn a_connector_made_over_the_api_is_published_and_one_deleted_is_not() {
    let simulated = Simulated::start(|now| World::generate(1, 0, 7, now));
    let resolver = simulated.running.resolver();
    let absent = over_udp(resolver, "corp.example.");
    assert_eq!(absent.response_code, ResponseCode::NXDomain);
    let made = simulated
        .connector("create", 0)
        .args(["--email-domain", "corp.example", "--json"])
        .run()
        .expect(0)
        .stdout_json();
    let code = made["verification"]["code"].as_str().unwrap().to_owned();
    let answer = over_udp(resolver, "CORP.example.");
    assert!(texts(&answer).contains(&code), "{answer}");
    simulated.pass(VERIFICATION);
    let answer = over_udp(resolver, "corp.example.");
    assert!(texts(&answer).contains(&code), "{answer}");
    simulated
        .connector("delete", 0)
        .args(["corp.example", "--yes"])
        .run()
        .expect(0);
    let absent = over_udp(resolver, "corp.example.");
    assert_eq!(absent.response_code, ResponseCode::NXDomain);
}

#[test]
fn connections_beyond_the_limit_wait_for_one_to_end() {
    let simulated = Simulated::start(World::demo);
    let resolver = simulated.running.resolver();
    let mut connections: Vec<_> = (0..CONNECTIONS)
        .map(|_| Connection::open(resolver))
        .collect();
    for connection in &mut connections {
        connection.ask("windrush.example.");
    }
    let mut next = Connection::open(resolver);
    next.send(&question(8, "windrush.example."));
    let short = Some(Duration::from_millis(100));
    next.0.set_read_timeout(short).unwrap();
    let waits = next.0.read(&mut [0]).unwrap_err().kind();
    assert!(matches!(waits, ErrorKind::WouldBlock | ErrorKind::TimedOut));
    assert_eq!(simulated.running.questions(), 64);
    // What is no message ends a connection, and makes room.
    connections[0].send(b"\0");
    assert_eq!(connections[0].0.read(&mut [0]).unwrap(), 0);
    next.0.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(next.receive().id, 8);
    // Those who only ask by datagram never wait.
    over_udp(resolver, "windrush.example.");
}

#[test]
fn it_stops_with_the_simulator() {
    let simulated = Simulated::start(World::demo);
    let resolver = simulated.running.resolver();
    let mut connection = Connection::open(resolver);
    connection.ask("windrush.example.");
    simulated.stop();
    assert_eq!(connection.0.read(&mut [0]).unwrap(), 0);
    UdpSocket::bind(resolver).unwrap();
    assert!(TcpStream::connect(resolver).is_err());
}

#[test]
fn simulate_says_where_it_answers() {
    // A port that was free a moment ago, and may be another test's by now.
    let begin = || {
        let free = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap();
        drop(free);
        let mut child = Command::new(env!("CARGO_BIN_EXE_cf-sso-audit"))
            .args(["simulate", "--latency", "80ms", "--dns-listen"])
            .arg(port.to_string())
            .env("SOURCE_DATE_EPOCH", NOW)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines: Vec<String> = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .take(3)
            .map(Result::unwrap)
            .collect();
        (child, port, lines)
    };
    let started = std::iter::repeat_with(begin).take(10);
    let (mut child, port, lines) = started
        .into_iter()
        .find(|(_, _, lines)| lines.len() == 3)
        .unwrap();
    assert!(lines[0].starts_with("export CLOUDFLARE_BASE_URL="));
    assert!(lines[1].starts_with("export CLOUDFLARE_API_TOKEN="));
    // A comment, where it is pasted into a shell.
    let resolver = lines[2].strip_prefix("# ").unwrap();
    assert!(
        resolver.ends_with(&format!("--resolver {port}")),
        "{resolver}"
    );
    let begun = Instant::now();
    let answer = over_udp(port, "windrush.example.");
    assert!(begun.elapsed() >= Duration::from_millis(80));
    assert_eq!(answer.answers.len(), 2);
    child.kill().unwrap();
    child.wait().unwrap();

    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    program("simulate")
        .args(["--dns-listen", &taken])
        .run()
        .expect(1)
        .says(&["its name server cannot listen on", &taken, "--dns-listen"]);
    program("simulate")
        .args(["--dns-listen", "0.0.0.0:0"])
        .run()
        .expect(1)
        .says(&["loopback only"]);
}
