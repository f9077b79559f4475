//! A name server on loopback that does as it is told, also where that is wrong: sockets, threads and bytes, and no code
//! of the program's own simulator or resolver.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};

/// A question verbatim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// In small letters, without the dot of the root.
    pub name: String,
    /// Over TCP, or UDP.
    pub tcp: bool,
    /// How many questions for the same name came before it.
    pub earlier: usize,
}

/// What a question is answered, or what happens instead.
#[derive(Debug, Clone)]
pub enum Says {
    /// TXT records, each of one string.
    Texts(Vec<String>),
    /// TXT records of another name.
    TextsOf(String, Vec<String>),
    /// An alias, and nothing about what it leads to.
    Alias(String),
    /// The name has no TXT record; with SOA.
    NoData,
    /// The name is not there; with SOA.
    NxDomain,
    /// NOERROR with another server's name, as one that is no resolver says.
    Referral,
    /// An error by its number.
    Error(u8),
    /// The first part, with the mark that there is more.
    Truncated,
    /// Nothing.
    Nothing,
    /// These texts, as the answer to a question for another name.
    ToAnother(Vec<String>),
    /// No such name, as the answer to a question for another name.
    NoSuchOther,
    /// The right answer with the number of another question.
    WrongNumber(Vec<String>),
    /// These bytes behind the question's number.
    Garbage(Vec<u8>),
}

/// Texts, for short.
pub fn texts<'t>(texts: impl IntoIterator<Item = &'t str>) -> Says {
    Says::Texts(texts.into_iter().map(str::to_owned).collect())
}

/// The server. It ends with the test's process.
pub struct NameServer {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl NameServer {
    /// One that answers by a function.
    pub fn new(says: impl Fn(&Asked) -> Says + Send + Sync + 'static) -> Self {
        let (listener, socket) = both_on_one_port();
        let server = Self {
            address: socket.local_addr().unwrap(),
            asked: Arc::default(),
        };
        let answer = {
            let asked = Arc::clone(&server.asked);
            Arc::new(move |packet: &[u8], tcp: bool| answered(packet, tcp, &asked, &says))
        };
        let over_udp = Arc::clone(&answer);
        std::thread::spawn(move || {
            let mut packet = [0; 65_536];
            while let Ok((length, from)) = socket.recv_from(&mut packet) {
                let (answer, packet) = (Arc::clone(&over_udp), packet[..length].to_vec());
                let socket = socket.try_clone().unwrap();
                // One that is held up holds up no other.
                std::thread::spawn(move || {
                    if let Some(answer) = answer(&packet, false) {
                        let _ = socket.send_to(&answer, from);
                    }
                });
            }
        });
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let answer = Arc::clone(&answer);
                std::thread::spawn(move || {
                    let mut length = [0; 2];
                    while stream.read_exact(&mut length).is_ok() {
                        let mut packet = vec![0; u16::from_be_bytes(length) as usize];
                        if stream.read_exact(&mut packet).is_err() {
                            break;
                        }
                        if let Some(answer) = answer(&packet, true) {
                            let length = (answer.len() as u16).to_be_bytes();
                            let _ = stream.write_all(&[&length, &answer[..]].concat());
                        }
                    }
                });
            }
        });
        server
    }

    /// As `--resolver` takes it.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// The questions so far, in the order in which they came.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

/// A port that is free for both protocols.
pub fn both_on_one_port() -> (TcpListener, UdpSocket) {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        if let Ok(socket) = UdpSocket::bind(listener.local_addr().unwrap()) {
            return (listener, socket);
        }
    }
}

fn answered(
    packet: &[u8],
    tcp: bool,
    asked: &Mutex<Vec<Asked>>,
    says: &impl Fn(&Asked) -> Says,
) -> Option<Vec<u8>> {
    let (name, end) = name_at(packet, 12)?;
    let question = packet.get(12..end + 4)?;
    let this = {
        let mut asked = asked.lock().unwrap();
        let this = Asked {
            earlier: asked.iter().filter(|other| other.name == name).count(),
            name,
            tcp,
        };
        asked.push(this.clone());
        this
    };
    let mut message = Message::to(packet, question);
    match says(&this) {
        Says::Texts(texts) => message.add_texts(&[0xc0, 12], &texts),
        Says::TextsOf(name, texts) => message.add_texts(&wire(&name), &texts),
        Says::Alias(target) => message.add_answer(&[0xc0, 12], 5, &wire(&target)),
        Says::NoData => message.add_soa(),
        Says::NxDomain => {
            message.bytes[3] |= 3;
            message.add_soa();
        }
        Says::Referral => message.add_authority(2, &wire("ns.elsewhere.example")),
        Says::Error(code) => message.bytes[3] |= code,
        Says::Truncated => message.bytes[2] |= 2,
        Says::Nothing => return None,
        Says::ToAnother(texts) => {
            message.add_texts(&[0xc0, 12], &texts);
            message.bytes[13] ^= 1;
        }
        Says::NoSuchOther => {
            message.bytes[3] |= 3;
            message.add_soa();
            message.bytes[13] ^= 1;
        }
        Says::WrongNumber(texts) => {
            message.add_texts(&[0xc0, 12], &texts);
            message.bytes[0] ^= 0xff;
        }
        Says::Garbage(bytes) => return Some([&packet[..2], &bytes].concat()),
    }
    Some(message.bytes)
}

struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// A response without answers: recursion is there.
    fn to(packet: &[u8], question: &[u8]) -> Self {
        let mut bytes = packet[..2].to_vec();
        bytes.extend([0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0]);
        bytes.extend(question);
        Self { bytes }
    }

    fn record(&mut self, name: &[u8], kind: u8, data: &[u8]) {
        self.bytes.extend(name);
        self.bytes.extend([0, kind, 0, 1, 0, 0, 0, 60]);
        self.bytes.extend((data.len() as u16).to_be_bytes());
        self.bytes.extend(data);
    }

    fn add_answer(&mut self, name: &[u8], kind: u8, data: &[u8]) {
        self.bytes[7] += 1;
        self.record(name, kind, data);
    }

    fn add_authority(&mut self, kind: u8, data: &[u8]) {
        self.bytes[9] += 1;
        self.record(&wire("example"), kind, data);
    }

    fn add_texts(&mut self, name: &[u8], texts: &[String]) {
        for text in texts {
            // Of as many strings as it takes.
            let strings = text.as_bytes().chunks(255);
            let data: Vec<_> = strings
                .flat_map(|string| [&[string.len() as u8], string].concat())
                .collect();
            self.add_answer(name, 16, &data);
        }
    }

    fn add_soa(&mut self) {
        let mut data = [wire("ns.example"), wire("host.example")].concat();
        data.extend([0; 20]);
        self.add_authority(6, &data);
    }
}

/// A name as messages have it.
fn wire(name: &str) -> Vec<u8> {
    let labels = name.split('.').filter(|label| !label.is_empty());
    let mut wire: Vec<_> = labels
        .flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat())
        .collect();
    wire.push(0);
    wire
}

/// The name at a place of a message, in small letters, and where it ends.
fn name_at(packet: &[u8], mut at: usize) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*packet.get(at)?);
        at += 1;
        if length == 0 {
            return Some((labels.join("."), at));
        }
        let label = packet.get(at..at + length)?;
        labels.push(String::from_utf8_lossy(label).to_lowercase());
        at += length;
    }
}
