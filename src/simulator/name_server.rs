//! A name server for a world: answers questions for TXT records over UDP and TCP, with authority and from nowhere else.

use super::world::World;
use super::zone::Found;
use hickory_resolver::proto::ProtoError;
use hickory_resolver::proto::op::{Edns, Message, MessageType, Metadata, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::{SOA, TXT};
use hickory_resolver::proto::rr::{DNSClass, Name, RData, Record, RecordType};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// How often a free port is looked for that both UDP and TCP have.
const PORT_ATTEMPTS: usize = 16;
/// The largest datagram that is taken or sent, bytes.
const DATAGRAM: u16 = 4096;
/// The most connections at a time; others wait until one of them ends.
const CONNECTIONS: usize = 64;
/// How long a connection may take for its next message, or for taking an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The most answers that are held back at a time, of a connection or of all datagrams. Beyond it, no more is read.
const HELD: usize = 1024;
/// How long any answer may be kept, seconds: not long, for the world changes.
const TTL: u32 = 60;
/// The longest string of a TXT record, bytes.
const STRING: usize = 255;

/// A name server that runs until the simulator stops.
pub(super) struct NameServer {
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

struct Shared {
    world: Arc<RwLock<World>>,
    latency: Duration,
    /// How many messages were answered.
    answered: AtomicU64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Transport {
    Udp,
    Tcp,
}

impl NameServer {
    pub(super) async fn start(
        listen: SocketAddr,
        world: Arc<RwLock<World>>,
        latency: Duration,
        mut stopped: watch::Receiver<bool>,
    ) -> io::Result<Self> {
        let (listener, socket) = bind(listen).await.map_err(|error| {
            let message = format!("its name server cannot listen on {listen}: {error}");
            io::Error::new(error.kind(), message)
        })?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            world,
            latency,
            answered: AtomicU64::new(0),
        });
        let serving = {
            let shared = Arc::clone(&shared);
            tokio::spawn(async move {
                tokio::select! {
                    // An error means that the `Running` is gone, which is a reason to stop too.
                    _ = stopped.changed() => {}
                    () = serve_datagrams(&socket, &shared) => {}
                    () = accept(&listener, &shared) => {}
                }
            })
        };
        Ok(Self {
            address,
            shared,
            serving,
        })
    }

    /// How many questions were answered, whatever the answer.
    pub(super) fn answered(&self) -> u64 {
        self.shared.answered.load(Ordering::Relaxed)
    }

    /// Waits until it has stopped.
    pub(super) async fn ended(self) {
        if let Err(error) = self.serving.await {
            tracing::warn!(%error, "the simulator's name server ended badly");
        }
    }
}

/// Takes a port of TCP, and the same of UDP.
async fn bind(address: SocketAddr) -> io::Result<(TcpListener, UdpSocket)> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        let listener = TcpListener::bind(address).await?;
        match UdpSocket::bind(listener.local_addr()?).await {
            Ok(socket) => return Ok((listener, socket)),
            // Somebody else has it: where any will do, there are others.
            Err(error)
                if error.kind() == io::ErrorKind::AddrInUse
                    && address.port() == 0
                    && attempts < PORT_ATTEMPTS => {}
            Err(error) => return Err(error),
        }
    }
}

async fn serve_datagrams(socket: &UdpSocket, shared: &Shared) {
    let (queue, mut held) = mpsc::channel(HELD);
    let receiving = async {
        let mut buffer = vec![0; DATAGRAM.into()];
        loop {
            match socket.recv_from(&mut buffer).await {
                Ok((length, asker)) => {
                    let Some(answer) = shared.answer(&buffer[..length], Transport::Udp) else {
                        continue;
                    };
                    if queue.send((Instant::now(), answer, asker)).await.is_err() {
                        break;
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "the simulator cannot receive a datagram");
                    sleep(Duration::from_millis(20)).await;
                }
            }
        }
    };
    let sending = async {
        while let Some((asked, answer, asker)) = held.recv().await {
            shared.hold_back(asked).await;
            if let Err(error) = socket.send_to(&answer, asker).await {
                tracing::debug!(%error, "the simulator cannot send a datagram");
            }
        }
    };
    tokio::join!(receiving, sending);
}

async fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve_connection(stream, Arc::clone(shared)));
                }
                Err(error) => {
                    // Out of file descriptors, most likely: those that are open go on, and free some.
                    tracing::warn!(%error, "the simulator's name server cannot accept a connection");
                    sleep(Duration::from_millis(20)).await;
                }
            },
        }
    }
}

async fn serve_connection(stream: TcpStream, shared: Arc<Shared>) {
    if let Err(error) = converse(stream, &shared).await {
        // A client that hangs up, or does not take its answers.
        tracing::debug!(%error, "a connection to the simulator's name server broke");
    }
}

/// Answers the messages of a connection, in their order, until there are no more.
async fn converse(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut reader, mut writer) = stream.into_split();
    let (queue, mut held) = mpsc::channel(HELD);
    let reading = async move {
        while let Some(message) = read_message(&mut reader).await? {
            // After something that is not a message, nobody knows where the next begins.
            let Some(answer) = shared.answer(&message, Transport::Tcp) else {
                break;
            };
            if queue.send((Instant::now(), answer)).await.is_err() {
                break;
            }
        }
        Ok(())
    };
    let writing = async move {
        while let Some((asked, answer)) = held.recv().await {
            shared.hold_back(asked).await;
            let length = u16::try_from(answer.len()).map_err(io::Error::other)?;
            let framed = [&length.to_be_bytes()[..], &answer].concat();
            timeout(PATIENCE, writer.write_all(&framed)).await??;
        }
        Ok(())
    };
    tokio::try_join!(reading, writing).map(|_: ((), ())| ())
}

/// The next message of a connection. `None` where it ends, or takes too long.
async fn read_message(reader: &mut OwnedReadHalf) -> io::Result<Option<Vec<u8>>> {
    let reading = async {
        let mut message = vec![0; reader.read_u16().await?.into()];
        reader.read_exact(&mut message).await?;
        io::Result::Ok(message)
    };
    match timeout(PATIENCE, reading).await {
        Ok(Ok(message)) => Ok(Some(message)),
        Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Ok(Err(error)) => Err(error),
        Err(_) => Ok(None),
    }
}

impl Shared {
    async fn hold_back(&self, asked: Instant) {
        if !self.latency.is_zero() {
            sleep_until(asked + self.latency).await;
        }
    }

    /// What goes back for what came in. `None` where that is no request, and nothing goes back.
    fn answer(&self, packet: &[u8], transport: Transport) -> Option<Vec<u8>> {
        let request = match Message::from_vec(packet) {
            Ok(request) if request.message_type == MessageType::Query => request,
            // An answer to an answer could go on for ever.
            Ok(_) => return None,
            Err(error) => {
                tracing::debug!(%error, "the simulator's name server drops a malformed message");
                return None;
            }
        };
        self.answered.fetch_add(1, Ordering::Relaxed);
        let encoded = self.respond(&request).and_then(|response| {
            let whole = response.to_vec()?;
            let limit = request.max_payload().min(DATAGRAM);
            if transport == Transport::Udp && whole.len() > limit.into() {
                return response.truncate().to_vec();
            }
            Ok(whole)
        });
        encoded
            .inspect_err(|error| {
                tracing::warn!(%error, "the simulator's name server cannot write its answer");
            })
            .ok()
    }

    fn respond(&self, request: &Message) -> Result<Message, ProtoError> {
        let mut response = Message::response(request.id, request.op_code);
        response.metadata = Metadata::response_from_request(&request.metadata);
        response.add_queries(request.queries.iter().cloned());
        if let Some(asked) = &request.edns {
            let mut edns = Edns::new();
            edns.set_max_payload(DATAGRAM)
                .set_dnssec_ok(asked.flags().dnssec_ok);
            response.set_edns(edns);
        }
        let code = match (request.op_code, request.queries.as_slice()) {
            _ if request.version() > 0 => ResponseCode::BADVERS,
            (OpCode::Query, [question]) => {
                let is_taken = question.query_type() == RecordType::TXT
                    && question.query_class() == DNSClass::IN;
                if is_taken {
                    self.look_up(question.name(), &mut response)?
                } else {
                    ResponseCode::Refused
                }
            }
            (OpCode::Query, _) => ResponseCode::FormErr,
            _ => ResponseCode::NotImp,
        };
        response.metadata.response_code = code;
        Ok(response)
    }

    /// Puts the records of a name into the response.
    fn look_up(&self, name: &Name, response: &mut Message) -> Result<ResponseCode, ProtoError> {
        let found = {
            let world = self.world.read().unwrap_or_else(PoisonError::into_inner);
            world.look_up(&text_of(name))
        };
        response.metadata.authoritative = found != Found::Unanswered;
        Ok(match found {
            Found::Texts(texts) => {
                response.add_answers(texts.iter().map(|text| txt_record(name, text)));
                ResponseCode::NoError
            }
            Found::NoData { zone } => {
                response.add_authority(soa_record(&zone)?);
                ResponseCode::NoError
            }
            Found::NoDomain { zone } => {
                response.add_authority(soa_record(&zone)?);
                ResponseCode::NXDomain
            }
            Found::Unanswered => ResponseCode::ServFail,
        })
    }
}

/// A name in the form in which a world is asked. What is not plain text is escaped, and so is no name of a world.
fn text_of(name: &Name) -> String {
    let text = name.to_lowercase().to_ascii();
    text.strip_suffix('.').unwrap_or(&text).to_owned()
}

fn txt_record(name: &Name, text: &str) -> Record {
    let strings = text.as_bytes().chunks(STRING).collect();
    Record::from_rdata(name.clone(), TTL, RData::TXT(TXT::from_bytes(strings)))
}

/// The record that says how long it holds that there is nothing.
fn soa_record(zone: &str) -> Result<Record, ProtoError> {
    let zone = Name::from_ascii(format!("{zone}."))?;
    let server = Name::from_ascii("ns.simulated.invalid.")?;
    let mailbox = Name::from_ascii("hostmaster.simulated.invalid.")?;
    let soa = SOA::new(server, mailbox, 1, 7200, 3600, 1_209_600, TTL);
    Ok(Record::from_rdata(zone, TTL, RData::SOA(soa)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_resolver::proto::op::Query;
    use std::str::FromStr;

    fn shared(world: World) -> Shared {
        Shared {
            world: Arc::new(RwLock::new(world)),
            latency: Duration::ZERO,
            answered: AtomicU64::new(0),
        }
    }

    fn demo() -> Shared {
        shared(World::demo("2026-11-21T10:15:00Z".parse().unwrap()))
    }

    fn question(name: &str) -> Message {
        let mut message = Message::new(4711, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.add_query(Query::query(Name::from_str(name).unwrap(), RecordType::TXT));
        message
    }

    fn with_payload(mut message: Message, payload: u16) -> Message {
        let mut edns = Edns::new();
        edns.set_max_payload(payload);
        message.set_edns(edns);
        message
    }

    #[track_caller]
    fn ask(shared: &Shared, message: &Message, transport: Transport) -> (Message, usize) {
        let answer = shared.answer(&message.to_vec().unwrap(), transport);
        let answer = answer.unwrap();
        (Message::from_vec(&answer).unwrap(), answer.len())
    }

    /// The strings of each record.
    fn strings(message: &Message) -> Vec<Vec<String>> {
        let texts = message.answers.iter().map(|record| match &record.data {
            RData::TXT(txt) => {
                let strings = txt.txt_data.iter();
                strings
                    .map(|string| String::from_utf8(string.to_vec()).unwrap())
                    .collect()
            }
            other => panic!("{other:?}"),
        });
        texts.collect()
    }

    #[test]
    fn an_answer_belongs_to_its_question() {
        let shared = demo();
        let asked = question("WindRush.EXAMPLE.");
        let (answer, _) = ask(&shared, &asked, Transport::Udp);
        assert_eq!(
            (answer.id, answer.response_code),
            (4711, ResponseCode::NoError)
        );
        assert!(answer.authoritative && answer.recursion_desired && !answer.recursion_available);
        assert!(!answer.truncation && answer.edns.is_none());
        // Letter by letter, as resolvers compare it.
        assert!(answer.queries[0].name().eq_case(asked.queries[0].name()));
        assert!(answer.answers[0].name.eq_case(asked.queries[0].name()));
        let texts = strings(&answer).concat();
        assert_eq!(texts.len(), 2);
        assert!(
            texts[0].starts_with("v=spf1 ") && texts[1].starts_with("cloudflare_dashboard_sso=")
        );
        assert_eq!(shared.answered.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn what_is_not_there_comes_with_the_zone_s_authority() {
        let shared = demo();
        for (name, code, zone) in [
            (
                "returns.legacy-imports.example.",
                ResponseCode::NoError,
                "legacy-imports.example.",
            ),
            (
                "www.windrush.example.",
                ResponseCode::NXDomain,
                "windrush.example.",
            ),
            (
                "failing-mx.elmsworth.example.",
                ResponseCode::NXDomain,
                "elmsworth.example.",
            ),
            ("nowhere.test.", ResponseCode::NXDomain, "."),
            ("test.", ResponseCode::NoError, "."),
            (".", ResponseCode::NoError, "."),
        ] {
            let (answer, _) = ask(&shared, &question(name), Transport::Udp);
            assert_eq!(answer.response_code, code, "{name}");
            assert!(answer.answers.is_empty() && answer.authoritative, "{name}");
            let [authority] = answer.authorities.as_slice() else {
                panic!("{name}: {:?}", answer.authorities);
            };
            assert_eq!(authority.name, Name::from_ascii(zone).unwrap(), "{name}");
            assert_eq!(authority.record_type(), RecordType::SOA);
        }
        // A label may hold anything, a dot too.
        let mut odd = question(".");
        let labels = [&b"www.windrush"[..], b"\0\xff", b"example"];
        odd.queries[0].set_name(Name::from_labels(labels).unwrap());
        let (answer, _) = ask(&shared, &odd, Transport::Udp);
        assert_eq!(answer.response_code, ResponseCode::NXDomain);
        let broken = question("archive.legacy-imports.example.");
        let (answer, _) = ask(&shared, &broken, Transport::Udp);
        assert_eq!(answer.response_code, ResponseCode::ServFail);
        assert!(answer.authorities.is_empty() && !answer.authoritative);
    }

    #[test]
    fn what_is_no_question_for_it_is_refused() {
        let shared = demo();
        let code = |message: &Message| {
            let (answer, _) = ask(&shared, message, Transport::Udp);
            assert!(answer.answers.is_empty());
            answer.response_code
        };
        let other = |change: fn(&mut Message)| {
            let mut message = question("windrush.example.");
            change(&mut message);
            code(&message)
        };
        for kind in [
            RecordType::A,
            RecordType::SOA,
            RecordType::ANY,
            RecordType::AXFR,
        ] {
            let mut message = question("windrush.example.");
            message.queries[0].set_query_type(kind);
            assert_eq!(code(&message), ResponseCode::Refused, "{kind}");
        }
        let chaos = other(|it| {
            it.queries[0].set_query_class(DNSClass::CH);
        });
        assert_eq!(chaos, ResponseCode::Refused);
        assert_eq!(other(|it| it.queries.clear()), ResponseCode::FormErr);
        let twice = other(|it| it.queries.push(it.queries[0].clone()));
        assert_eq!(twice, ResponseCode::FormErr);
        let notify = other(|it| it.metadata.op_code = OpCode::Notify);
        assert_eq!(notify, ResponseCode::NotImp);
        let version = other(|it| {
            let mut edns = Edns::new();
            edns.set_version(1);
            it.set_edns(edns);
        });
        // BADVERS; the same number is called BADSIG where it is a signature's.
        assert_eq!(u16::from(version), 16);
    }

    #[test]
    fn what_is_no_request_is_dropped() {
        let shared = demo();
        let whole = with_payload(question("windrush.example."), 1232)
            .to_vec()
            .unwrap();
        for end in 0..whole.len() {
            assert_eq!(shared.answer(&whole[..end], Transport::Udp), None, "{end}");
        }
        let mut answer = question("windrush.example.");
        answer.metadata.message_type = MessageType::Response;
        assert_eq!(
            shared.answer(&answer.to_vec().unwrap(), Transport::Udp),
            None
        );
        // A name that points at itself.
        let mut looped = question(".").to_vec().unwrap();
        looped.splice(12..13, [0xc0, 12]);
        assert_eq!(shared.answer(&looped, Transport::Tcp), None);
        assert_eq!(shared.answered.load(Ordering::Relaxed), 0);
        // Whatever else comes in, there is an answer or none, and no end of it.
        for (place, flip) in (0..whole.len()).flat_map(|place| (1..=255).map(move |it| (place, it)))
        {
            let mut message = whole.clone();
            message[place] ^= flip;
            shared.answer(&message, Transport::Udp);
        }
    }

    #[test]
    fn what_does_not_fit_is_cut_off_over_udp_and_whole_over_tcp() {
        let shared = demo();
        let crowded = question("foxglove.example.");
        for (message, limit) in [
            (crowded.clone(), 512),
            (with_payload(crowded.clone(), 1232), 1232),
            // As if it said 512 (RFC 6891).
            (with_payload(crowded.clone(), 100), 512),
        ] {
            let (answer, length) = ask(&shared, &message, Transport::Udp);
            assert!(answer.truncation && answer.answers.is_empty() && length <= limit);
            assert_eq!(answer.response_code, ResponseCode::NoError);
            assert_eq!(answer.edns.is_some(), message.edns.is_some());
            let (whole, length) = ask(&shared, &message, Transport::Tcp);
            assert!(!whole.truncation && whole.answers.len() == 26 && length > 1232);
        }
        let large = with_payload(crowded, 4096);
        let (answer, length) = ask(&shared, &large, Transport::Udp);
        assert!(!answer.truncation && answer.answers.len() == 26 && length <= 4096);
        // Of strings that hold 255 bytes each.
        let (long, _) = ask(&shared, &question("wexcombe.example."), Transport::Udp);
        let strings = strings(&long);
        assert_eq!(strings.len(), 1);
        let lengths: Vec<usize> = strings[0].iter().map(String::len).collect();
        assert!(matches!(lengths[..], [255, 1..255]), "{lengths:?}");
        assert!(strings[0].concat().ends_with(" ip4:198.51.100.240/28 -all"));
    }

    #[test]
    fn what_is_larger_than_any_message_is_cut_off_over_tcp_too() {
        // So many connectors of one domain as no message has room for.
        let world = World::generate(1000, 0, 7, "2026-11-21T10:15:00Z".parse().unwrap());
        let shared = shared(world);
        {
            let mut world = shared.world.write().unwrap();
            let accounts: Vec<_> = world.accounts.iter().map(|it| it.id).collect();
            for account in accounts {
                let new = crate::simulator::world::NewConnector {
                    email_domain: "corp.example".to_owned(),
                    begin_verification: false,
                    use_fedramp_language: false,
                };
                world.create(account, new).unwrap();
            }
        }
        let asked = with_payload(question("corp.example."), 1232);
        let (answer, length) = ask(&shared, &asked, Transport::Tcp);
        assert!(answer.truncation && length <= u16::MAX.into());
        assert!(answer.answers.len() > 500);
    }
}
