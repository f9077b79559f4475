//! The one gate that every request passes: its turn, the sending, the reading of the whole body within a
//! size limit, what the answer means, and whether to try again.
//!
//! The order is fixed: the token's lane says whether and when, then the limit over all tokens, then a place
//! among those in progress; send; read; learn from the answer; back off and begin again, or hand it on.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use chrono::{DateTime, Utc};
use http::header::{AUTHORIZATION, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::classify::{Access, Meaning, meaning};
use super::pace::{MAX_PAUSES, Pacer, RequestId, Throttled, UnderWay};
use super::retry::{LONGEST_PAUSE, LONGEST_RETRY_AFTER, backoff, retry_after, should_retry};
use super::token::{Token, TokenKind, sensitive};
use crate::bounds::bounded;
use crate::clock::Clock;
use crate::outcome::{ErrorKind, ReadError};
use crate::rate::Rate;
use crate::text::{sha256_hex, shortened};

/// An answer larger than this is not read to its end, in bytes.
pub const LARGEST_BODY: usize = 8 * 1024 * 1024;
/// Answers above this size, in bytes, are read only a few at a time, and no further one until what is read of them is
/// written, so that memory stays bounded.
const LARGE_BODY: usize = 256 * 1024;
const LARGE_BODIES_AT_ONCE: usize = 2;
/// Cloudflare's limit for one address, over all its tokens.
pub const ADDRESS_RATE: Rate = Rate {
    requests: 200,
    window: Duration::from_secs(1),
};
/// A pause of at least this is reported in the log.
const LONG_PAUSE: Duration = Duration::from_secs(10);
/// A token that was refused outright this many times, and never accepted, is not tried again.
const REFUSALS: u64 = 3;

/// How requests are sent.
#[derive(Debug, Clone)]
pub struct GateOptions {
    /// For one attempt, from connecting to the last byte of the body.
    pub timeout: Duration,
    /// Further attempts after the first.
    pub retries: u32,
    /// The most that the first back-off takes.
    pub retry_delay: Duration,
    /// Maximum concurrent requests, over all tokens.
    pub concurrency: usize,
    /// Requests in a window, per token.
    pub rate: Rate,
    /// What tells the time for evidence.
    pub clock: Clock,
}

/// What all requests of the program share.
#[derive(Debug)]
pub struct Gate {
    options: GateOptions,
    /// `None` where the user's own rate asks for more than Cloudflare lets one address send: then the API in
    /// front is not Cloudflare's public one, and its limits are the user's to know.
    address: Option<Pacer>,
    places: Semaphore,
    large_bodies: Arc<Semaphore>,
    /// Every token of the run: what one account answers must not repeat another's either.
    secrets: RwLock<Vec<Token>>,
    sent: AtomicU64,
    calls: AtomicU64,
}

impl Gate {
    /// A gate through which nothing has gone yet.
    pub fn new(options: GateOptions) -> Self {
        let asked = options.rate.requests as f64 / options.rate.window.as_secs_f64();
        let most = ADDRESS_RATE.requests as f64 / ADDRESS_RATE.window.as_secs_f64();
        Self {
            address: (asked <= most).then(|| Pacer::new(ADDRESS_RATE)),
            places: Semaphore::new(options.concurrency),
            large_bodies: Arc::new(Semaphore::new(LARGE_BODIES_AT_ONCE)),
            secrets: RwLock::default(),
            sent: AtomicU64::new(0),
            calls: AtomicU64::new(0),
            options,
        }
    }

    /// How requests are sent.
    pub fn options(&self) -> &GateOptions {
        &self.options
    }

    /// Has a lane's token kept out of every answer, whichever lane's it is.
    pub fn keep_secret(&self, lane: &Lane) {
        self.keep_token_secret(&lane.token);
    }

    /// Has a token kept out of every answer, though none of the lanes may have it.
    pub fn keep_token_secret(&self, token: &Token) {
        let mut secrets = self.secrets.write().unwrap_or_else(PoisonError::into_inner);
        if !secrets.contains(token) {
            secrets.push(token.clone());
        }
    }

    /// The bytes without any token, the lane's own and those that are kept secret; `None` where there is none in them.
    fn redact(&self, own: &Token, bytes: &[u8]) -> Option<Vec<u8>> {
        let secrets = self.secrets.read().unwrap_or_else(PoisonError::into_inner);
        let others = secrets.iter().filter(|token| *token != own);
        others.fold(own.redact(bytes), |clean, token| {
            token.redact(clean.as_deref().unwrap_or(bytes)).or(clean)
        })
    }

    /// The bytes without any token that is kept secret; `None` where there is none in them.
    pub fn without_secrets(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let secrets = self.secrets.read().unwrap_or_else(PoisonError::into_inner);
        secrets.iter().fold(None, |clean: Option<Vec<u8>>, token| {
            token.redact(clean.as_deref().unwrap_or(bytes)).or(clean)
        })
    }

    /// Requests sent so far, every attempt counted.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

/// One token's way to the API: its pace, and whether it may be used at all.
#[derive(Debug)]
pub struct Lane {
    /// What the token is called in messages: the variable or file it came from.
    name: String,
    token: Token,
    /// Where the token is a user's global key: the user's e-mail address.
    email: Option<HeaderValue>,
    pacer: Pacer,
    refusals: AtomicU64,
    /// Refusals that a bad token and one without the permission get alike.
    doubts: AtomicU64,
    verified: AtomicBool,
    accepted: AtomicU64,
    /// Answers since the last success that asked for a wait that is too long.
    too_long: AtomicU64,
    /// Until when a pause was reported, in seconds since the lane was made.
    told_until: AtomicU64,
    made: Instant,
    stopped: OnceLock<ReadError>,
}

impl Lane {
    /// A lane for a token; `name` is where the token came from, for messages.
    pub fn new(name: impl Into<String>, token: Token, rate: Rate) -> Self {
        Self {
            name: name.into(),
            token,
            email: None,
            pacer: Pacer::new(rate),
            refusals: AtomicU64::new(0),
            doubts: AtomicU64::new(0),
            verified: AtomicBool::new(false),
            accepted: AtomicU64::new(0),
            too_long: AtomicU64::new(0),
            told_until: AtomicU64::new(0),
            made: Instant::now(),
            stopped: OnceLock::new(),
        }
    }

    /// A lane for a user's global key, with which organizations are listed and nothing else is sent. `None` where the
    /// e-mail address is none that a header can hold.
    pub fn of_key(name: impl Into<String>, email: &str, key: Token, rate: Rate) -> Option<Self> {
        Some(Self {
            email: Some(sensitive(email)?),
            ..Self::new(name, key, rate)
        })
    }

    /// Whether it is the lane of a global key.
    pub fn is_of_key(&self) -> bool {
        self.email.is_some()
    }

    /// Puts on what shows who asks.
    fn authenticate(&self, headers: &mut HeaderMap) {
        let written = match &self.email {
            None => [(AUTHORIZATION, self.token.header())].to_vec(),
            Some(email) => [
                (X_AUTH_EMAIL, Some(email.clone())),
                (X_AUTH_KEY, self.token.key_header()),
            ]
            .to_vec(),
        };
        for (name, value) in written {
            if let Some(value) = value {
                headers.insert(name, value);
            }
        }
    }

    /// Where the token came from.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Who the token belongs to, by its prefix.
    pub fn kind(&self) -> TokenKind {
        self.token.kind()
    }

    /// What tells the token from others without giving it away.
    pub fn fingerprint(&self) -> String {
        self.token.fingerprint()
    }

    /// Whether it is the lane of this token.
    pub fn has(&self, token: &Token) -> bool {
        self.token == *token
    }

    /// Why nothing is sent with this token any more, where that is so.
    pub fn stopped(&self) -> Option<&ReadError> {
        self.stopped.get()
    }

    /// Counts requests that were answered so long ago, before this process began.
    pub fn recall(&self, ago: impl IntoIterator<Item = Duration>) {
        self.pacer.recall(ago);
    }

    /// Until when requests with this token wait, where they do.
    pub fn waits_until(&self) -> Option<Instant> {
        self.pacer.waits_until()
    }

    /// For how long the rate limit has kept the token's requests waiting so far.
    pub fn waited(&self) -> Duration {
        self.pacer.waited()
    }

    /// Whether it is time to ask what the token is worth: it was refused several times in the words that a bad token
    /// and one without the permission get alike, and never accepted. True once at most. Only a user's token can be
    /// asked about without knowing its account.
    pub fn is_doubtful(&self) -> bool {
        self.kind() == TokenKind::User
            && self.accepted.load(Ordering::Relaxed) == 0
            && self.doubts.load(Ordering::Relaxed) >= REFUSALS
            && !self.verified.swap(true, Ordering::Relaxed)
    }

    /// Nothing more is sent with the token: the API says that it is worth nothing.
    pub fn give_up(&self, error: &ReadError) {
        let message = format!(
            "the token of {} is not valid and will not be used again: {}",
            self.name, error.message
        );
        self.stop(ErrorKind::Auth, error.code.clone(), message);
    }

    fn stop(&self, kind: ErrorKind, code: Option<String>, message: String) {
        let error = ReadError {
            kind,
            code,
            message,
        };
        if self.stopped.set(error.clone()).is_ok() {
            tracing::error!(token = self.name, code = error.code, "{}", error.message);
        }
    }

    /// Counts an answer that asks for a wait that is too long; whether there were so many in a row that it is the token's.
    fn asked_to_wait_too_long(&self) -> bool {
        self.too_long.fetch_add(1, Ordering::Relaxed) + 1 >= REFUSALS
    }

    /// Says that the token pauses, once for each pause that is long enough to be wondered about.
    fn tell_of_pause(&self, wait: Duration) {
        if wait < LONG_PAUSE {
            return;
        }
        let until = (self.made.elapsed() + wait).as_secs();
        let told = self.told_until.fetch_max(until, Ordering::Relaxed);
        if told < until.saturating_sub(wait.as_secs() / 2) {
            tracing::warn!(
                "over the rate limit: pausing the token of {} for {} s",
                self.name,
                wait.as_secs()
            );
        }
    }

    fn learn(&self, meaning: &Meaning) {
        match meaning {
            Meaning::Success => {
                self.accepted.fetch_add(1, Ordering::Relaxed);
                self.too_long.store(0, Ordering::Relaxed);
            }
            Meaning::Failure {
                error,
                token_refused: true,
                ..
            } => {
                let refusals = self.refusals.fetch_add(1, Ordering::Relaxed) + 1;
                if refusals == REFUSALS && self.accepted.load(Ordering::Relaxed) == 0 {
                    let message = format!(
                        "the token of {} was refused {refusals} times and will not be used again: {}",
                        self.name, error.message
                    );
                    self.stop(ErrorKind::Auth, error.code.clone(), message);
                }
            }
            Meaning::Failure { error, .. } if error.kind == ErrorKind::Auth => {
                self.doubts.fetch_add(1, Ordering::Relaxed);
            }
            Meaning::Failure { .. } | Meaning::Throttled(_) => {}
        }
    }
}

/// What became of one request, over all its attempts.
#[derive(Debug, Clone, Default)]
pub struct Exchange {
    /// Requests sent.
    pub attempts: u32,
    /// Whether the last of them may have arrived: it got further than connecting.
    pub arrived: bool,
    /// Of the last answer.
    pub http_status: Option<u16>,
    /// Cloudflare's name for the last answer.
    pub cf_ray: Option<String>,
    /// When the last answer was there.
    pub at: Option<DateTime<Utc>>,
    /// Of the last answer's body, in hex.
    pub body_sha256: Option<String>,
    /// The last answer's body.
    pub body: Bytes,
    /// Where that is large: the place of it, until the exchange is dropped.
    pub place: Option<Arc<OwnedSemaphorePermit>>,
    /// Rate-limit headers and the server's date, as they came.
    pub headers: HeaderMap,
    /// Why there is no answer of use.
    pub failure: Option<ReadError>,
    /// What would have been sent, where nothing was to be.
    pub rehearsed: Option<Rehearsed>,
}

/// A request as it would have been sent, but for the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rehearsed {
    /// The HTTP method.
    pub method: String,
    /// The whole address.
    pub url: String,
    /// The body, or empty.
    pub body: String,
}

/// What a generated client carries with it for one call.
#[derive(Debug, Clone)]
pub struct Session {
    pub(super) gate: Arc<Gate>,
    pub(super) lane: Arc<Lane>,
    pub(super) exchange: Arc<Mutex<Exchange>>,
    /// Whether requests are only shown and not sent.
    pub(super) rehearsal: bool,
    /// The proxy on the way, for messages.
    pub(super) proxy: Option<Arc<str>>,
}

/// A whole answer.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// Why an attempt brought no whole answer.
enum Broken {
    /// The connection failed, broke, or took too long.
    Transport(reqwest::Error),
    /// The body goes on beyond [`LARGEST_BODY`].
    TooLarge,
}

/// What has been tried for one request.
struct Tries {
    id: RequestId,
    /// Attempts that count, after the first.
    retries: u32,
    /// How often it was refused for being one too many.
    throttled: u32,
    /// How many requests of the token had been accepted when it last was.
    accepted_then: u64,
}

/// What an attempt led to.
enum Attempt {
    Done(reqwest::Result<reqwest::Response>),
    Again {
        wait: Duration,
        because: ReadError,
        counts: bool,
    },
}

impl Session {
    /// Sends a request until it is answered, fails for good, or has had all its attempts. Why there is no
    /// answer of use is in the session's [`Exchange`].
    ///
    /// # Errors
    /// The transport's, of the last attempt.
    pub(super) async fn exec(
        &self,
        http: &reqwest::Client,
        mut request: reqwest::Request,
        operation: &'static str,
    ) -> reqwest::Result<reqwest::Response> {
        // The generated client adds a header that Cloudflare's API does not have.
        request.headers_mut().remove("api-version");
        *request.timeout_mut() = Some(self.gate.options.timeout);
        if self.rehearsal {
            return Ok(self.rehearse(&request));
        }
        // A global key may do whatever its user may: it goes nowhere else, whoever hands the lane on.
        if self.lane.is_of_key() && access_of(request.method(), operation) != Access::Organizations
        {
            let message = "the global key is used for the lists of organizations alone";
            return Ok(self.give_up(ReadError::new(ErrorKind::Api, message)));
        }
        self.lane.authenticate(request.headers_mut());
        let mut tries = Tries {
            id: RequestId(self.gate.calls.fetch_add(1, Ordering::Relaxed)),
            retries: 0,
            throttled: 0,
            accepted_then: 0,
        };
        loop {
            let Some(attempt) = request.try_clone() else {
                return Ok(self.give_up(ReadError::new(
                    ErrorKind::Api,
                    "the request cannot be sent twice",
                )));
            };
            match self.attempt(http, attempt, operation, &mut tries).await {
                Attempt::Done(result) => return result,
                Attempt::Again {
                    wait,
                    because,
                    counts,
                } => {
                    tries.retries += u32::from(counts);
                    let wait_ms = wait.as_millis() as u64;
                    tracing::debug!(
                        operation,
                        retries = tries.retries,
                        wait_ms,
                        "asked again: {}",
                        because.message
                    );
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }

    async fn attempt(
        &self,
        http: &reqwest::Client,
        request: reqwest::Request,
        operation: &'static str,
        tries: &mut Tries,
    ) -> Attempt {
        // Looked at before the turn, which would be spent in vain, and after it, which may have been long.
        if let Some(stopped) = self.lane.stopped() {
            return Attempt::Done(Ok(self.give_up(stopped.clone())));
        }
        let lane_turn = self.lane.pacer.turn().await;
        if let Some(stopped) = self.lane.stopped() {
            return Attempt::Done(Ok(self.give_up(stopped.clone())));
        }
        let _address_turn = match &self.gate.address {
            Some(address) => Some(address.turn().await),
            None => None,
        };
        let _place = self.gate.places.acquire().await;
        let access = access_of(request.method(), operation);
        let is_read = access != Access::Write;
        let began = Instant::now();
        self.gate.sent.fetch_add(1, Ordering::Relaxed);
        // The body of the attempt before, and its place, are of no use any more.
        self.note(|exchange| {
            exchange.attempts += 1;
            exchange.body = Bytes::new();
            exchange.place = None;
        });

        let outcome = self.send(http, request).await;
        let milliseconds = began.elapsed().as_millis() as u64;
        let not_connected = matches!(&outcome, Err(Broken::Transport(error)) if error.is_connect());
        self.note(|exchange| exchange.arrived = !not_connected);
        match outcome {
            Ok(answer) => {
                let status = answer.status.as_u16();
                let cf_ray = header_text(&answer.headers, "cf-ray");
                tracing::debug!(operation, status, milliseconds, cf_ray, "answered");
                self.judge(answer, &lane_turn, access, tries)
            }
            Err(Broken::TooLarge) => {
                let message = format!(
                    "the answer is larger than {} MiB",
                    LARGEST_BODY / 1024 / 1024
                );
                Attempt::Done(Ok(
                    self.give_up(ReadError::new(ErrorKind::Malformed, message))
                ))
            }
            Err(Broken::Transport(error)) => {
                let failure = self.transport_failure(&error);
                tracing::debug!(operation, milliseconds, "not answered: {}", failure.message);
                // A change that may have been carried out is not sent twice.
                if (is_read || error.is_connect()) && tries.retries < self.gate.options.retries {
                    return Attempt::Again {
                        wait: backoff(self.gate.options.retry_delay, tries.retries),
                        because: failure,
                        counts: true,
                    };
                }
                self.note(|exchange| exchange.failure = Some(failure));
                Attempt::Done(Err(error))
            }
        }
    }

    /// Sends one attempt and reads its whole body.
    async fn send(
        &self,
        http: &reqwest::Client,
        request: reqwest::Request,
    ) -> Result<Answer, Broken> {
        let mut response = http.execute(request).await.map_err(Broken::Transport)?;
        let expected = response.content_length().unwrap_or(0);
        if expected > LARGEST_BODY as u64 {
            return Err(Broken::TooLarge);
        }
        let mut body = BytesMut::new();
        let mut is_large = false;
        while let Some(chunk) = response.chunk().await.map_err(Broken::Transport)? {
            if body.len() + chunk.len() > LARGEST_BODY {
                return Err(Broken::TooLarge);
            }
            if !is_large && body.len() + chunk.len() > LARGE_BODY {
                is_large = true;
                let place = Arc::clone(&self.gate.large_bodies).acquire_owned().await;
                let place = place.ok().map(Arc::new);
                self.note(|exchange| exchange.place = place);
                // Not before: what waits for its place takes no room.
                body.reserve((expected as usize).saturating_sub(body.len()));
            }
            body.extend_from_slice(&chunk);
        }
        let body = body.freeze();
        let redact = |bytes: &[u8]| self.gate.redact(&self.lane.token, bytes);
        let body = redact(&body).map_or(body, Bytes::from);
        let mut headers = std::mem::take(response.headers_mut());
        for value in headers.values_mut() {
            if let Some(clean) = redact(value.as_bytes()) {
                *value = HeaderValue::from_bytes(&clean)
                    .unwrap_or_else(|_| HeaderValue::from_static("[token]"));
            }
        }
        Ok(Answer {
            status: response.status(),
            headers,
            body,
        })
    }

    /// Learns from an answer, and hands it on or has the request sent again.
    fn judge(
        &self,
        answer: Answer,
        turn: &UnderWay<'_>,
        access: Access,
        tries: &mut Tries,
    ) -> Attempt {
        let location = header_text(&answer.headers, LOCATION.as_str());
        let meaning = meaning(access, answer.status, location.as_deref(), &answer.body);
        self.note(|exchange| {
            exchange.http_status = Some(answer.status.as_u16());
            exchange.cf_ray = header_text(&answer.headers, "cf-ray");
            exchange.at = Some(self.gate.options.clock.now());
            exchange.body_sha256 = Some(sha256_hex(&answer.body));
            exchange.body = answer.body.clone();
            exchange.headers = answer.headers.clone();
        });
        let again = self.is_sent_again(&answer, &meaning, access, tries);
        // Tokens are "not yet fully available" for organizations: that one is refused there says nothing of it; neither does,
        // yet, what is asked once more by the server's own wish.
        let is_of_organizations = access == Access::Organizations && !self.lane.is_of_key();
        let says_nothing = is_of_organizations && meaning != Meaning::Success;
        if !again && !says_nothing {
            self.lane.learn(&meaning);
        }
        let asked_to_wait = retry_after(&answer.headers, SystemTime::now());
        let longest = match &meaning {
            Meaning::Throttled(_) => LONGEST_PAUSE,
            _ => LONGEST_RETRY_AFTER,
        };
        if let Some(wait) = asked_to_wait.filter(|&wait| wait > longest)
            && let Meaning::Throttled(error) | Meaning::Failure { error, .. } = &meaning
        {
            let message = format!(
                "{}; it asks to wait {} s, which is too long",
                error.message,
                wait.as_secs()
            );
            // One such answer may be about its account alone; several in a row are about the token.
            if matches!(meaning, Meaning::Throttled(_)) && self.lane.asked_to_wait_too_long() {
                self.lane
                    .stop(ErrorKind::RateLimited, error.code.clone(), message.clone());
            }
            let error = ReadError {
                message,
                ..error.clone()
            };
            return Attempt::Done(Ok(self.fail(answer, error)));
        }
        match meaning {
            Meaning::Success => {
                turn.accepted();
                // What is not text is refused by whoever decodes it.
                let text = std::str::from_utf8(&answer.body).unwrap_or_default();
                Attempt::Done(Ok(match bounded(text) {
                    Ok(None) => answer.into(),
                    Ok(Some(body)) => Answer {
                        body: body.into(),
                        ..answer
                    }
                    .into(),
                    Err(cause) => self.fail(answer, ReadError::new(ErrorKind::Malformed, cause)),
                }))
            }
            Meaning::Throttled(error) => self.throttled(answer, error, turn, asked_to_wait, tries),
            Meaning::Failure { error, .. } => {
                turn.accepted();
                if again {
                    let wait = asked_to_wait
                        .unwrap_or_else(|| backoff(self.gate.options.retry_delay, tries.retries));
                    return Attempt::Again {
                        wait,
                        because: error,
                        counts: true,
                    };
                }
                Attempt::Done(Ok(self.fail(answer, error)))
            }
        }
    }

    /// Whether a request that failed is sent once more. The server's own word on it, `x-should-retry`, comes before ours;
    /// but a change is never sent twice once it was answered: whoever set the header may not know whether it was carried
    /// out. To an answer that is over the rate limit it says nothing: that is a pause, whatever the header says.
    fn is_sent_again(
        &self,
        answer: &Answer,
        meaning: &Meaning,
        access: Access,
        tries: &Tries,
    ) -> bool {
        let Meaning::Failure { passing, .. } = meaning else {
            return false;
        };
        should_retry(&answer.headers).unwrap_or(*passing)
            && access != Access::Write
            && tries.retries < self.gate.options.retries
    }

    /// Pauses the token, or this request alone where others of the token were answered meanwhile.
    fn throttled(
        &self,
        answer: Answer,
        error: ReadError,
        turn: &UnderWay<'_>,
        asked_to_wait: Option<Duration>,
        tries: &mut Tries,
    ) -> Attempt {
        let accepted = self.lane.accepted.load(Ordering::Relaxed);
        let others_were_answered = tries.throttled > 0 && accepted > tries.accepted_then;
        tries.throttled += 1;
        tries.accepted_then = accepted;
        let again = |wait| Attempt::Again {
            wait,
            because: error.clone(),
            counts: false,
        };
        let mut stops_the_token = false;
        let in_vain = if others_were_answered {
            if tries.throttled <= MAX_PAUSES {
                return again(asked_to_wait.unwrap_or(self.gate.options.rate.window));
            }
            "after every pause, while others were answered with the same token".to_owned()
        } else {
            match turn.throttled(asked_to_wait, tries.id) {
                // The lane itself waits; only its turn lets the request go again.
                Throttled::Paused(_) => {
                    let wait = asked_to_wait.unwrap_or(self.gate.options.rate.window);
                    self.lane.tell_of_pause(wait);
                    return again(Duration::ZERO);
                }
                Throttled::InVainForOne => {
                    format!("after {MAX_PAUSES} pauses in a row, which no other request met")
                }
                Throttled::InVain => {
                    stops_the_token = true;
                    let name = &self.lane.name;
                    format!("after {MAX_PAUSES} pauses in a row with the token of {name}")
                }
            }
        };
        let error = ReadError {
            message: format!("still over the rate limit {in_vain}: {}", error.message),
            ..error
        };
        if stops_the_token {
            let (code, message) = (error.code.clone(), error.message.clone());
            self.lane.stop(ErrorKind::RateLimited, code, message);
        }
        Attempt::Done(Ok(self.fail(answer, error)))
    }

    /// Ends a request that has an answer of no use. What the generated client makes of its body is not looked at, because
    /// the exchange holds a failure: so it is handed none, which costs nothing.
    fn fail(&self, answer: Answer, error: ReadError) -> reqwest::Response {
        self.note(|exchange| exchange.failure = Some(error));
        let body = Bytes::new();
        Answer { body, ..answer }.into()
    }

    /// Ends a request that has no answer. What the generated client makes of the stand-in is not looked at,
    /// because the exchange holds a failure.
    fn give_up(&self, error: ReadError) -> reqwest::Response {
        let answer = Answer {
            status: StatusCode::SERVICE_UNAVAILABLE,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        };
        self.fail(answer, error)
    }

    /// Notes what would have been sent; see [`Self::give_up`] for what is answered in its place.
    fn rehearse(&self, request: &reqwest::Request) -> reqwest::Response {
        let body = request
            .body()
            .and_then(reqwest::Body::as_bytes)
            .unwrap_or_default();
        let rehearsed = Rehearsed {
            method: request.method().to_string(),
            url: request.url().to_string(),
            body: String::from_utf8_lossy(body).into_owned(),
        };
        self.note(|exchange| exchange.rehearsed = Some(rehearsed));
        self.give_up(ReadError::new(ErrorKind::Api, "nothing was sent"))
    }

    fn transport_failure(&self, error: &reqwest::Error) -> ReadError {
        let way = match &self.proxy {
            Some(proxy) => format!(" through the proxy {proxy}"),
            None => String::new(),
        };
        if error.is_timeout() {
            let seconds = self.gate.options.timeout.as_secs_f64();
            let message = format!("no complete answer within {seconds} s{way}");
            return ReadError::new(ErrorKind::Timeout, message);
        }
        let what = if error.is_connect() {
            "cannot connect"
        } else {
            "the connection broke"
        };
        // The address would be in the message a second time.
        let mut causes = vec![format!("{what}{way}")];
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            let text = cause.to_string();
            if causes.last().is_none_or(|last| !last.contains(&text)) {
                causes.push(text);
            }
            source = cause.source();
        }
        let mut message = causes.join(": ");
        if message.contains("UnknownIssuer") {
            message += ", which is not trusted here; behind a TLS-inspecting proxy, give its root certificate with --ca-file";
        }
        ReadError::new(ErrorKind::Connect, message)
    }

    fn note(&self, write: impl FnOnce(&mut Exchange)) {
        write(&mut self.exchange.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl From<Answer> for reqwest::Response {
    fn from(answer: Answer) -> Self {
        let mut response = http::Response::new(answer.body);
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        response.into()
    }
}

/// The operation that lists accounts, by the name that the generated client has for it.
const LIST_ACCOUNTS: &str = "accounts_list_accounts";
/// The operations that list organizations, and the accounts of one.
const LIST_ORGANIZATIONS: [&str; 2] = [
    "organization_list_organizations",
    "organizations_get_accounts",
];

/// The headers of a global key.
const X_AUTH_EMAIL: HeaderName = HeaderName::from_static("x-auth-email");
const X_AUTH_KEY: HeaderName = HeaderName::from_static("x-auth-key");

fn access_of(method: &Method, operation: &str) -> Access {
    match (method, operation) {
        (&Method::GET, LIST_ACCOUNTS) => Access::List,
        (&Method::GET, operation) if LIST_ORGANIZATIONS.contains(&operation) => {
            Access::Organizations
        }
        (&Method::GET, _) => Access::Read,
        _ => Access::Write,
    }
}

/// The longest header that is kept, in characters.
const LONGEST_HEADER: usize = 200;

fn header_text(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?;
    Some(shortened(value, LONGEST_HEADER).into_owned())
}
