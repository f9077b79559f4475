//! An HTTP/1.1 server on loopback that does as it is told, also where that is wrong: sockets and threads, and no
//! code of the program's own simulator. It keeps every request that it got.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// One request verbatim.
#[derive(Debug, Clone)]
pub struct Request {
    /// `GET`.
    pub method: String,
    /// With the query.
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// When its head was there.
    pub at: Instant,
    /// How many requests for the same path came before it.
    pub earlier: usize,
}

impl Request {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The account whose connectors are asked for; empty where something else is.
    pub fn account(&self) -> &str {
        let rest = self.path.strip_prefix("/client/v4/accounts/");
        rest.and_then(|rest| rest.strip_suffix("/sso_connectors"))
            .unwrap_or_default()
    }

    /// The number of the made-up account whose connectors are asked for.
    pub fn number(&self) -> usize {
        usize::from_str_radix(&self.account()[2..], 16).unwrap()
    }

    /// A parameter of the query.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let (_, query) = self.path.split_once('?')?;
        query.split('&').find_map(|pair| {
            pair.split_once('=')
                .filter(|(key, _)| *key == name)
                .map(|(_, value)| value)
        })
    }
}

/// What a request is answered, or what happens instead.
#[derive(Debug, Clone)]
pub enum Reply {
    /// An answer.
    Answer(Answer),
    /// The connection is reset, without a byte.
    Reset,
    /// The connection is closed, without a byte.
    Close,
    /// An answer whose body ends before its `content-length`.
    CutOff(Answer),
    /// A chunked body of so many bytes, as fast as it goes.
    Chunked(u64),
    /// A `content-length` of so many bytes, and then nothing.
    Promised(u64),
    /// A body that comes byte by byte, and never ends.
    Drip,
    /// Nothing, until the other side gives up.
    Hang,
    /// The bytes as they are, in place of an answer.
    Raw(Vec<u8>),
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// `200`.
    pub status: u16,
    /// Beside `content-length`.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// How long it takes.
    pub after: Duration,
}

/// An answer with a status and a body that is taken for JSON.
pub fn answer(status: u16, body: impl Into<Vec<u8>>) -> Reply {
    Reply::Answer(Answer {
        status,
        headers: vec![
            ("content-type".to_owned(), "application/json".to_owned()),
            ("cf-ray".to_owned(), format!("8a1b2c3d4e5f6{status}-SYD")),
        ],
        body: body.into(),
        after: Duration::ZERO,
    })
}

/// An answer in the success envelope.
pub fn success(result: Value) -> Reply {
    enveloped(result, Value::Null)
}

/// An answer in the success envelope, with `result_info`.
pub fn enveloped(result: Value, info: Value) -> Reply {
    let mut body = json!({"success": true, "errors": [], "messages": [], "result": result});
    if !info.is_null() {
        body["result_info"] = info;
    }
    answer(200, body.to_string())
}

/// An answer in the failure envelope.
pub fn failure(status: u16, code: u64, message: &str) -> Reply {
    let body = json!({"success": false, "errors": [{"code": code, "message": message}], "messages": [], "result": null});
    answer(status, body.to_string())
}

/// The answer where the token may not read an account.
pub fn forbidden() -> Reply {
    failure(403, 9109, "Unauthorized to access requested resource")
}

impl Reply {
    /// The same with a header more.
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        if let Self::Answer(answer) | Self::CutOff(answer) = &mut self {
            answer.headers.push((name.to_owned(), value.into()));
        }
        self
    }

    /// The same after a while.
    pub fn after(mut self, delay: Duration) -> Self {
        if let Self::Answer(answer) | Self::CutOff(answer) = &mut self {
            answer.after = delay;
        }
        self
    }

    /// The same, cut off in the middle of its body.
    pub fn cut_off(self) -> Self {
        match self {
            Self::Answer(answer) => Self::CutOff(answer),
            other => other,
        }
    }
}

type Answering = dyn Fn(&Request) -> Reply + Send + Sync;

/// What the threads share.
struct Shared {
    requests: Mutex<Vec<Request>>,
    answering: Mutex<Arc<Answering>>,
    stopped: AtomicBool,
}

/// A server while it lives.
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Server {
    /// Begins to serve.
    pub fn start(answering: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            requests: Mutex::default(),
            answering: Mutex::new(Arc::new(answering)),
            stopped: AtomicBool::new(false),
        });
        let of_listener = Arc::clone(&shared);
        std::thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                if of_listener.stopped.load(Ordering::Relaxed) {
                    break;
                }
                let shared = Arc::clone(&of_listener);
                // That the other side goes away is for the test to judge, not for the server.
                std::thread::spawn(move || serve(&shared, connection).is_ok());
            }
        });
        Self { address, shared }
    }

    /// A server of accounts by their connectors; others are not known.
    pub fn of(accounts: Vec<(String, Value)>) -> Self {
        Self::start(move |request| connectors_of(&accounts, request))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The API's address here.
    pub fn base_url(&self) -> String {
        format!("http://{}/client/v4", self.address)
    }

    /// Answers otherwise from now on, and forgets the requests so far.
    pub fn now(&self, answering: impl Fn(&Request) -> Reply + Send + Sync + 'static) {
        *self.shared.answering.lock().unwrap() = Arc::new(answering);
        self.shared.requests.lock().unwrap().clear();
    }

    /// Every request so far.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// The accounts whose connectors were asked for, sorted, one entry a request.
    pub fn asked(&self) -> Vec<String> {
        let requests = self.requests();
        let mut asked: Vec<_> = requests.iter().map(|r| r.account().to_owned()).collect();
        asked.sort();
        asked
    }

    /// The requests for an account's connectors.
    pub fn of_account(&self, id: &str) -> Vec<Request> {
        let mut requests = self.requests();
        requests.retain(|request| request.account() == id);
        requests
    }
}

/// The answer for a request among accounts with their connectors.
pub fn connectors_of(accounts: &[(String, Value)], request: &Request) -> Reply {
    match accounts.iter().find(|(id, _)| id == request.account()) {
        Some((_, connectors)) => success(connectors.clone()),
        None => failure(
            404,
            7003,
            "Could not route to it, perhaps your object identifier is invalid?",
        ),
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        // Wakes the listener, so that it sees that it is over.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(shared: &Shared, mut connection: TcpStream) -> io::Result<()> {
    connection.set_nodelay(true)?;
    while let Some((head, mut request)) = peek_request(&connection)? {
        let answering = {
            let mut requests = shared.requests.lock().unwrap();
            request.earlier = requests.iter().filter(|r| r.path == request.path).count();
            requests.push(request.clone());
            Arc::clone(&shared.answering.lock().unwrap())
        };
        let reply = answering(&request);
        if matches!(reply, Reply::Reset) {
            // Closing a socket with unread bytes resets the connection.
            return Ok(());
        }
        connection.read_exact(&mut vec![0; head + request.body.len()])?;
        if !send(shared, &mut connection, reply)? {
            return Ok(());
        }
    }
    Ok(())
}

/// The next request with the length of its head, left unread; `None` where no more come.
fn peek_request(connection: &TcpStream) -> io::Result<Option<(usize, Request)>> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = connection.peek(&mut buffer)?;
        if length == 0 {
            return Ok(None);
        }
        let head = buffer[..length].windows(4).position(|w| w == b"\r\n\r\n");
        if let Some(end) = head {
            let head = end + 4;
            let text = String::from_utf8_lossy(&buffer[..end]).into_owned();
            let mut lines = text.split("\r\n");
            let mut first = lines.next().unwrap_or_default().split(' ');
            let headers: Vec<_> = lines
                .filter_map(|line| line.split_once(':'))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
                .collect();
            let mut request = Request {
                method: first.next().unwrap_or_default().to_owned(),
                path: first.next().unwrap_or_default().to_owned(),
                headers,
                body: Vec::new(),
                at: Instant::now(),
                earlier: 0,
            };
            let body = request.header("content-length").map_or(0, |length| {
                length.parse().expect("a content-length is a number")
            });
            if length >= head + body {
                request.body = buffer[head..head + body].to_vec();
                return Ok(Some((head, request)));
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Sends a reply; whether the connection may carry another.
fn send(shared: &Shared, connection: &mut TcpStream, reply: Reply) -> io::Result<bool> {
    match reply {
        Reply::Answer(answer) => {
            std::thread::sleep(answer.after);
            let mut bytes = head(&answer, answer.body.len() as u64);
            bytes.extend_from_slice(&answer.body);
            connection.write_all(&bytes)?;
            return Ok(true);
        }
        Reply::CutOff(answer) => {
            let mut bytes = head(&answer, answer.body.len() as u64);
            bytes.extend_from_slice(&answer.body[..answer.body.len() / 2]);
            connection.write_all(&bytes)?;
        }
        Reply::Promised(length) => {
            connection.write_all(
                format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{{").as_bytes(),
            )?;
            hang(shared, connection)?;
        }
        Reply::Chunked(length) => {
            connection.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
            const CHUNK: usize = 64 * 1024;
            let mut chunk = format!("{CHUNK:x}\r\n").into_bytes();
            chunk.extend_from_slice(&[b' '; CHUNK]);
            chunk.extend_from_slice(b"\r\n");
            for _ in 0..length.div_ceil(CHUNK as u64) {
                connection.write_all(&chunk)?;
            }
            connection.write_all(b"0\r\n\r\n")?;
        }
        Reply::Drip => {
            connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")?;
            while !shared.stopped.load(Ordering::Relaxed) {
                connection.write_all(b" ")?;
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        Reply::Hang => hang(shared, connection)?,
        Reply::Raw(bytes) => connection.write_all(&bytes)?,
        Reply::Reset | Reply::Close => {}
    }
    Ok(false)
}

fn head(answer: &Answer, length: u64) -> Vec<u8> {
    let mut head = format!(
        "HTTP/1.1 {} Whatever\r\ncontent-length: {length}\r\n",
        answer.status
    );
    for (name, value) in &answer.headers {
        head += &format!("{name}: {value}\r\n");
    }
    (head + "\r\n").into_bytes()
}

fn hang(shared: &Shared, connection: &mut TcpStream) -> io::Result<()> {
    connection.set_read_timeout(Some(Duration::from_millis(50)))?;
    while !shared.stopped.load(Ordering::Relaxed) {
        match connection.read(&mut [0; 64]) {
            Ok(0) => break,
            Err(error)
                if !matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                ) =>
            {
                break;
            }
            _ => {}
        }
    }
    Ok(())
}

/// A rate limit as Cloudflare's: it counts on its own clock, and *blocks* for a whole window when gone over.
pub struct Limiter {
    requests: usize,
    window: Duration,
    state: Mutex<LimiterState>,
}

#[derive(Default)]
struct LimiterState {
    let_through: VecDeque<Instant>,
    blocked_until: Option<Instant>,
    refused: usize,
}

impl Limiter {
    /// So many requests in so long a window.
    pub fn new(requests: usize, window: Duration) -> Arc<Self> {
        Arc::new(Self {
            requests,
            window,
            state: Mutex::default(),
        })
    }

    /// Whether a request may pass.
    pub fn passes(&self) -> bool {
        let now = Instant::now();
        let mut state = self.state.lock().unwrap();
        let over = state
            .let_through
            .iter()
            .take_while(|&&at| now - at >= self.window)
            .count();
        state.let_through.drain(..over);
        let blocked = state.blocked_until.is_some_and(|until| now < until);
        if blocked || state.let_through.len() >= self.requests {
            if !blocked {
                state.blocked_until = Some(now + self.window);
            }
            state.refused += 1;
            return false;
        }
        state.let_through.push_back(now);
        true
    }

    /// How many requests were refused.
    pub fn refused(&self) -> usize {
        self.state.lock().unwrap().refused
    }
}

/// The answer to a request that is one too many.
pub fn throttled() -> Reply {
    failure(
        429,
        971,
        "Please wait and consider throttling your request speed",
    )
}
