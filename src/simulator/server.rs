//! Sockets, tokens, pacing, and the headers that every answer has.

use super::answer::Answer;
use super::clock::Clock;
use super::name_server::NameServer;
use super::rate::{Limiter, Rate, Verdict};
use super::routes::{self, BASE_PATH, Caller, Request, Stranger};
use super::seed::{Id, mix};
use super::trouble::Troubles;
use super::world::{Totals, World};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// The largest request body that is read, bytes. The API's own bodies have a few hundred.
const BODY_LIMIT: usize = 1 << 20;

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 4096;

/// How long [`Running::stop`] waits for answers in progress.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

const CF_RAY: HeaderName = HeaderName::from_static("cf-ray");
const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// How a world is served.
#[derive(Clone)]
pub struct Options {
    /// A loopback address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where the name server listens, over UDP and TCP: a loopback address; port 0 takes a free one.
    pub dns_listen: SocketAddr,
    /// The token that may read and write everything.
    pub token: String,
    /// Further tokens that may do the same, each with a limit of its own.
    pub more_tokens: Vec<String>,
    /// A token that may read everything and write nothing.
    pub read_only_token: Option<String>,
    /// The limit on the requests of each token; none where absent.
    pub rate: Option<Rate>,
    /// How long each answer is held back, those of the name server too.
    pub latency: Duration,
    /// The tokens belong to an account and not to a user: they cannot list accounts, and verify at another address.
    pub account_owned_token: bool,
    /// Accounts that cannot be read.
    pub troubles: Troubles,
}

/// A world that is being served. Dropping it ends the serving too, but waits for nothing.
pub struct Running {
    address: SocketAddr,
    token: String,
    state: Arc<State>,
    stop: watch::Sender<bool>,
    accepting: JoinHandle<()>,
    name_server: NameServer,
}

/// Serves a world from tasks of the current tokio runtime.
///
/// # Errors
/// When the address is not on loopback or cannot be bound, a token is empty, or the rate is out of bounds.
pub async fn start(world: World, options: Options) -> io::Result<Running> {
    let refuse = |message: String| Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    for address in [options.listen, options.dns_listen] {
        if !address.ip().is_loopback() {
            return refuse(format!(
                "the simulator listens on loopback only, and {address} is not: use 127.0.0.1 or [::1]"
            ));
        }
    }
    let mut keys = HashMap::new();
    let may_write = std::iter::once(&options.token).chain(&options.more_tokens);
    let tokens = may_write
        .map(|token| (token, true))
        .chain(options.read_only_token.iter().map(|token| (token, false)));
    for (token, may_write) in tokens {
        if token.is_empty() || token.contains(char::is_whitespace) {
            return refuse("the simulator's tokens must not be empty or contain blanks".to_owned());
        }
        let token_id = Id::of(&format!("token/{token}"));
        let key = Key {
            caller: Caller {
                token_id,
                may_write,
                account_owned: options.account_owned_token,
            },
            limiter: options.rate.map(Limiter::new).transpose()?.map(Mutex::new),
        };
        keys.insert(token.clone(), key);
    }

    let listener = listen(options.listen)?;
    let address = listener.local_addr()?;
    let (stop, stopped) = watch::channel(false);
    let clock = world.clock();
    let world = Arc::new(RwLock::new(world));
    let name_server = NameServer::start(
        options.dns_listen,
        Arc::clone(&world),
        options.latency,
        stopped.clone(),
    )
    .await?;
    let state = Arc::new(State {
        clock,
        world,
        keys,
        latency: options.latency,
        troubles: options.troubles,
        requests: AtomicU64::new(0),
        throttled: AtomicU64::new(0),
        writes: AtomicU64::new(0),
    });
    let accepting = tokio::spawn(accept(listener, Arc::clone(&state), stopped));
    Ok(Running {
        address,
        token: options.token,
        state,
        stop,
        accepting,
        name_server,
    })
}

impl Running {
    /// What a client takes as base URL, without a slash at the end: `http://127.0.0.1:PORT/client/v4`.
    pub fn base_url(&self) -> String {
        format!("http://{}{BASE_PATH}", self.address)
    }

    /// The token that may read and write.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Where the name server of the world answers, over UDP and TCP.
    pub fn resolver(&self) -> SocketAddr {
        self.name_server.address
    }

    /// The questions that the name server answered, whatever the answer.
    pub fn questions(&self) -> u64 {
        self.name_server.answered()
    }

    /// All requests that came in, the throttled and the refused included.
    pub fn requests(&self) -> u64 {
        self.state.requests.load(Ordering::Relaxed)
    }

    /// The requests that were answered with 429.
    pub fn throttled(&self) -> u64 {
        self.state.throttled.load(Ordering::Relaxed)
    }

    /// The requests that were not a GET, whatever came of them.
    pub fn writes(&self) -> u64 {
        self.state.writes.load(Ordering::Relaxed)
    }

    /// What the world holds at this moment.
    pub fn totals(&self) -> Totals {
        self.state
            .world
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .totals()
    }

    /// Takes no more connections, lets the answers of the API that are in progress go out (for at most 5 s), and closes all.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.accepting.await {
            tracing::warn!(%error, "the simulator ended badly");
        }
        self.name_server.ended().await;
    }
}

/// What all connections share.
struct State {
    world: Arc<RwLock<World>>,
    clock: Clock,
    /// By their tokens.
    keys: HashMap<String, Key>,
    latency: Duration,
    troubles: Troubles,
    requests: AtomicU64,
    throttled: AtomicU64,
    writes: AtomicU64,
}

/// What belongs to a token.
struct Key {
    caller: Caller,
    limiter: Option<Mutex<Limiter>>,
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

async fn accept(listener: TcpListener, state: Arc<State>, mut stopped: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            // An error means that the `Running` is gone, which is a reason to stop too.
            _ = stopped.changed() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, Arc::clone(&state), stopped.clone()));
                }
                Err(error) => {
                    // Out of file descriptors, most likely: those that are open go on, and free some.
                    tracing::warn!(%error, "the simulator cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            },
        }
    }
    drop(listener);
    let all_done = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP_PATIENCE, all_done).await.is_err() {
        connections.shutdown().await;
    }
}

async fn serve(stream: TcpStream, state: Arc<State>, mut stopped: watch::Receiver<bool>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let state = Arc::clone(&state);
        async move { Ok::<_, Infallible>(state.respond(request).await) }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // A client that hangs up, or that speaks something else.
        tracing::debug!(%error, "a connection to the simulator broke");
    }
}

impl State {
    async fn respond(&self, request: hyper::Request<Incoming>) -> Response<Full<Bytes>> {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let (head, body) = request.into_parts();
        if head.method != Method::GET {
            self.writes.fetch_add(1, Ordering::Relaxed);
        }
        let key = self.identify(&head.headers);
        let pace = key.as_ref().ok().and_then(|key| self.admit(key));
        let answer = match pace {
            Some(Pace {
                verdict: Verdict::Blocked { reset },
                ..
            }) => {
                self.throttled.fetch_add(1, Ordering::Relaxed);
                Answer::throttled(reset)
            }
            _ => match read(body).await {
                Ok(body) => {
                    let request = Request {
                        method: &head.method,
                        path: head.uri.path(),
                        query: head.uri.query(),
                        headers: &head.headers,
                        body: &body,
                    };
                    let answer = routes::respond(&self.world, key.map(|key| key.caller), &request);
                    match self.troubles.of_path(request.path) {
                        Some(trouble)
                            if answer.status == StatusCode::OK && head.method == Method::GET =>
                        {
                            trouble.spoil(answer).await
                        }
                        _ => answer,
                    }
                }
                Err(refusal) => refusal,
            },
        };
        if !self.latency.is_zero() {
            tokio::time::sleep(self.latency).await;
        }
        self.dress(answer, number, pace)
    }

    fn identify(&self, headers: &HeaderMap) -> Result<&Key, Stranger> {
        let header = headers.get(AUTHORIZATION).ok_or(Stranger::NoToken)?;
        let (scheme, token) = header
            .to_str()
            .ok()
            .and_then(|text| text.split_once(' '))
            .ok_or(Stranger::Malformed)?;
        let token = token.trim();
        if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() || token.contains(' ') {
            return Err(Stranger::Malformed);
        }
        self.keys.get(token).ok_or(Stranger::Unknown)
    }

    fn admit(&self, key: &Key) -> Option<Pace> {
        let mut limiter = key
            .limiter
            .as_ref()?
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // The time is taken under the lock, so that the limiter sees times in order.
        let verdict = limiter.admit(self.clock.now());
        Some(Pace {
            verdict,
            policy: limiter.policy(),
        })
    }

    /// Puts the headers on.
    fn dress(&self, answer: Answer, number: u64, pace: Option<Pace>) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::from(answer.body));
        *response.status_mut() = answer.status;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        let ray = format!("{:016x}-SYD", mix(number.wrapping_add(1)));
        let date = self
            .clock
            .now()
            .format("%a, %d %b %Y %H:%M:%S GMT")
            .to_string();
        let written = [
            (CF_RAY, Some(ray)),
            (header::DATE, Some(date)),
            (RATELIMIT, pace.as_ref().map(|pace| pace.verdict.header())),
            (RATELIMIT_POLICY, pace.map(|pace| pace.policy)),
            (
                header::RETRY_AFTER,
                answer.retry_after.map(|seconds| seconds.to_string()),
            ),
            (header::ALLOW, answer.allow.map(str::to_owned)),
        ];
        for (name, value) in written {
            if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
                headers.insert(name, value);
            }
        }
        response
    }
}

/// What the limit said of a request.
struct Pace {
    verdict: Verdict,
    policy: String,
}

async fn read(body: Incoming) -> Result<Bytes, Answer> {
    match Limited::new(body, BODY_LIMIT).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Answer::refusal(
            StatusCode::PAYLOAD_TOO_LARGE,
            10413,
            "The request body is larger than 1 MiB",
        )),
        Err(_) => Err(Answer::refusal(
            StatusCode::BAD_REQUEST,
            6007,
            "The request body broke off",
        )),
    }
}
