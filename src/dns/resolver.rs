//! Asks resolvers for TXT records: over UDP, and over TCP where an answer does not fit.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::{DnsHandle, FirstAnswer};
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{DnsRequestOptions, DnsResponse, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{NameServerPool, PoolContext, TlsConfig};

use super::pace::Pace;
use super::record::{Lookup, Opinion, Reply, TxtText};
use crate::clock::Clock;
use crate::rate::Rate;

/// So many aliases are followed from a name; what goes on longer goes in a circle.
const MOST_ALIASES: usize = 8;
/// A resolver that answered nothing so often in a row is asked whether it is there at all.
const SILENT: u32 = 32;
/// How long is waited before a question is asked again that a resolver could not answer, once for each further attempt.
const PAUSE: Duration = Duration::from_millis(200);
/// What an answer over UDP may have, in bytes: what passes every network in one piece.
const UDP_PAYLOAD: u16 = 1232;

/// How resolvers are asked.
#[derive(Debug, Clone)]
pub struct AskerOptions {
    /// Who is asked; the first two of them that answer.
    pub resolvers: Vec<SocketAddr>,
    /// Why there is nobody to ask, where that is so.
    pub nobody: Option<String>,
    /// Whether that is the simulated name server.
    pub simulated: bool,
    /// How long an answer is waited for, at each attempt.
    pub timeout: Duration,
    /// Attempts at a question that gets no answer.
    pub attempts: u32,
    /// The most questions in a window, over all resolvers.
    pub rate: Rate,
    /// What `at` is told by.
    pub clock: Clock,
}

/// Takes secrets out of a text; `None` where there is none in it.
pub type Redact = Box<dyn Fn(&[u8]) -> Option<Vec<u8>> + Send + Sync>;

/// How many resolvers have to say alike that a record is not there.
pub fn needed(resolvers: usize) -> usize {
    resolvers.min(2)
}

/// Asks resolvers, at an even pace.
pub struct Asker {
    resolvers: Vec<Resolver>,
    pace: Pace,
    options: AskerOptions,
    redact: Option<Redact>,
}

/// One resolver.
struct Resolver {
    address: SocketAddr,
    server: NameServerConfig,
    context: Arc<PoolContext>,
    /// Questions in a row to which no answer came.
    unanswered: AtomicU32,
    /// Whether it is asked no more.
    is_given_up: AtomicBool,
}

impl std::fmt::Debug for Asker {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_list().entries(&self.resolvers).finish()
    }
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}", self.address)
    }
}

/// Why a resolver gave no answer about a name.
struct NoAnswer {
    cause: String,
    /// Whether it said anything at all.
    is_silent: bool,
    /// Whether asking again may help.
    may_pass: bool,
}

impl NoAnswer {
    fn final_one(cause: impl Into<String>) -> Self {
        Self {
            cause: cause.into(),
            is_silent: false,
            may_pass: false,
        }
    }
}

/// The resolvers that the system is set up to ask, in its order.
///
/// # Errors
/// The system does not say, and why.
pub fn system_resolvers() -> Result<Vec<SocketAddr>, String> {
    let (config, _) =
        hickory_resolver::system_conf::read_system_conf().map_err(|error| error.to_string())?;
    let mut resolvers = Vec::new();
    for server in config.name_servers() {
        let port = server
            .connections
            .first()
            .map_or(53, |connection| connection.port);
        resolvers.push(SocketAddr::new(server.ip, port));
    }
    match resolvers.is_empty() {
        true => Err("it lists none".to_owned()),
        false => Ok(resolvers),
    }
}

impl Asker {
    /// Prepares to ask.
    ///
    /// # Errors
    /// The resolver library cannot be set up.
    pub fn new(options: AskerOptions) -> Result<Self, String> {
        let resolver = |&address| Resolver::new(address, &options);
        let resolvers: Result<_, _> = options.resolvers.iter().map(resolver).collect();
        Ok(Self {
            resolvers: resolvers?,
            pace: Pace::new(options.rate),
            options,
            redact: None,
        })
    }

    /// Has secrets taken out of every text that a zone holds.
    pub fn keep_out(&mut self, redact: Redact) {
        self.redact = Some(redact);
    }

    /// How it asks.
    pub fn options(&self) -> &AskerOptions {
        &self.options
    }

    /// Asks for a name's TXT records, of so many resolvers that answer, one after the other where one does not.
    pub async fn look_up(&self, name: &str, answers: usize) -> Lookup {
        let mut lookup = Lookup {
            name: name.to_owned(),
            asked: Vec::new(),
        };
        let mut left = answers;
        for resolver in &self.resolvers {
            if left == 0 {
                break;
            }
            let opinion = self.ask(resolver, name).await;
            left -= usize::from(opinion.reply.is_answer());
            lookup.asked.push(opinion);
        }
        lookup
    }

    async fn ask(&self, resolver: &Resolver, name: &str) -> Opinion {
        let mut questions = 0;
        let reply = if resolver.is_given_up.load(Ordering::Relaxed) {
            Reply::Failed {
                cause: "not queried: it did not answer before".to_owned(),
            }
        } else {
            match self.follow(resolver, name, &mut questions).await {
                Ok(reply) => reply,
                Err(no_answer) => Reply::Failed {
                    cause: no_answer.cause,
                },
            }
        };
        Opinion {
            resolver: resolver.address.to_string(),
            at: self.options.clock.now(),
            questions,
            reply,
        }
    }

    /// Asks for a name, and for those that it is an alias of, where the resolver leaves that to the asker.
    async fn follow(
        &self,
        resolver: &Resolver,
        name: &str,
        questions: &mut u32,
    ) -> Result<Reply, NoAnswer> {
        // With the dot of the root, so that nothing is put behind it.
        let parsed = Name::from_ascii(format!("{name}."));
        let mut current =
            parsed.map_err(|error| NoAnswer::final_one(format!("not a valid name: {error}")))?;
        let mut aliases = Vec::new();
        loop {
            let answer = self.persist(resolver, &current, questions).await?;
            let response = match answer {
                Answer::NxDomain if aliases.is_empty() => return Ok(Reply::NxDomain),
                // Behind an alias the domain itself is there.
                Answer::NoData | Answer::NxDomain => return Ok(Reply::NoData),
                Answer::Response(response) => response,
            };
            let before = aliases.len();
            while let Some(target) = alias_of(&response, &current) {
                if aliases.len() == MOST_ALIASES {
                    return Err(NoAnswer::final_one("its aliases form a loop"));
                }
                aliases.push(target.to_utf8().trim_end_matches('.').to_lowercase());
                current = target;
            }
            let texts = self.texts_of(&response, &current);
            if !texts.is_empty() {
                return Ok(Reply::Records { texts, aliases });
            }
            let is_end = response.response_code == ResponseCode::NXDomain
                || response
                    .authorities
                    .iter()
                    .any(|record| record.record_type() == RecordType::SOA);
            if aliases.len() == before && !is_end {
                return Err(NoAnswer::final_one("its answer is about other names"));
            }
            if is_end {
                return Ok(Reply::NoData);
            }
        }
    }

    /// Asks a question, again where it gets no answer.
    async fn persist(
        &self,
        resolver: &Resolver,
        name: &Name,
        questions: &mut u32,
    ) -> Result<Answer, NoAnswer> {
        let mut attempt = 0;
        let mut with_edns = true;
        loop {
            attempt += 1;
            self.pace.wait().await;
            *questions += 1;
            let result = resolver.question(name, RecordType::TXT, with_edns).await;
            let no_answer = match result {
                Ok(answer) => {
                    resolver.unanswered.store(0, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(no_answer) => no_answer,
            };
            if !no_answer.is_silent {
                resolver.unanswered.store(0, Ordering::Relaxed);
            }
            if no_answer.cause == FORMAT_ERROR && with_edns {
                // An old one that does not know the extension.
                with_edns = false;
                continue;
            }
            let is_given_up = resolver.is_given_up.load(Ordering::Relaxed);
            if !no_answer.may_pass || attempt >= self.options.attempts || is_given_up {
                if no_answer.is_silent {
                    self.note_silence(resolver).await;
                }
                return Err(no_answer);
            }
            tokio::time::sleep(PAUSE * attempt).await;
        }
    }

    /// The TXT records of a name itself; what a server adds about others is not believed.
    fn texts_of(&self, response: &DnsResponse, name: &Name) -> Vec<TxtText> {
        let texts = response
            .answers
            .iter()
            .filter_map(|record| match &record.data {
                RData::TXT(txt) if record.name == *name => {
                    let text = txt.txt_data.concat();
                    let clean = self.redact.as_ref().and_then(|redact| redact(&text));
                    Some(TxtText::of(clean.unwrap_or(text)))
                }
                _ => None,
            });
        texts.collect()
    }

    /// A resolver that is silent on many names in a row is given up, unless it still answers what every resolver knows:
    /// then it is the names.
    async fn note_silence(&self, resolver: &Resolver) {
        let unanswered = resolver.unanswered.fetch_add(1, Ordering::Relaxed) + 1;
        if !unanswered.is_multiple_of(SILENT) {
            return;
        }
        self.pace.wait().await;
        let probe = resolver.question(&Name::root(), RecordType::NS, true).await;
        if probe.is_err_and(|no_answer| no_answer.is_silent)
            && !resolver.is_given_up.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                "the resolver {} does not answer and will not be queried again in this run",
                resolver.address
            );
        }
    }
}

/// What a resolver that does not know EDNS says.
const FORMAT_ERROR: &str = "it calls the query malformed (FORMERR)";

enum Answer {
    Response(DnsResponse),
    NoData,
    NxDomain,
}

impl Resolver {
    fn new(address: SocketAddr, options: &AskerOptions) -> Result<Self, String> {
        let mut connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
        for connection in &mut connections {
            connection.port = address.port();
        }
        let server = NameServerConfig::new(address.ip(), true, connections.into());
        let mut opts = ResolverOpts::default();
        opts.timeout = options.timeout;
        opts.edns_payload_len = UDP_PAYLOAD;
        let tls = TlsConfig::new().map_err(|error| error.to_string())?;
        let context = Arc::new(PoolContext::new(opts, tls));
        Ok(Self {
            address,
            server,
            context,
            unanswered: AtomicU32::new(0),
            is_given_up: AtomicBool::new(false),
        })
    }

    async fn question(
        &self,
        name: &Name,
        kind: RecordType,
        with_edns: bool,
    ) -> Result<Answer, NoAnswer> {
        let mut options = DnsRequestOptions::default();
        options.use_edns = with_edns;
        options.edns_payload_len = UDP_PAYLOAD;
        let query = Query::query(name.clone(), kind);
        // Connections of its own: a question whose answer is slow holds up no other, and UDP is tried first each time.
        let provider = TokioRuntimeProvider::default();
        let pool =
            NameServerPool::from_config([self.server.clone()], Arc::clone(&self.context), provider);
        match pool.lookup(query.clone(), options).first_answer().await {
            Ok(response) if answers(response.queries.first(), &query) => {
                Ok(Answer::Response(response))
            }
            Err(NetError::Dns(DnsError::NoRecordsFound(none)))
                if !answers(Some(&none.query), &query) =>
            {
                Err(to_another_question())
            }
            Ok(_) => Err(to_another_question()),
            Err(error) => meaning(error),
        }
    }
}

/// Whether an answer is to a question: the question is in it.
fn answers(answered: Option<&Query>, asked: &Query) -> bool {
    answered.is_some_and(|answered| {
        answered.name() == asked.name() && answered.query_type() == asked.query_type()
    })
}

fn to_another_question() -> NoAnswer {
    NoAnswer {
        cause: "its answer is to another query".to_owned(),
        is_silent: false,
        may_pass: true,
    }
}

/// What it means that a question did not succeed.
fn meaning(error: NetError) -> Result<Answer, NoAnswer> {
    let cause = match &error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain => return Ok(Answer::NxDomain),
            // Sent on to other servers: it does not look names up for others.
            ResponseCode::NoError if none.soa.is_none() && none.ns.is_some() => {
                return Err(NoAnswer::final_one(
                    "it refers to other servers, so it is not a resolver",
                ));
            }
            ResponseCode::NoError => return Ok(Answer::NoData),
            code => return Err(refusal(code)),
        },
        NetError::Dns(DnsError::ResponseCode(code)) => return Err(refusal(*code)),
        NetError::Timeout => "no answer in time".to_owned(),
        NetError::Truncated => {
            return Err(NoAnswer::final_one(
                "its answer does not fit in a message in a message",
            ));
        }
        NetError::Io(error) => format!("it cannot be reached: {error}"),
        NetError::NoConnections | NetError::Busy => "it cannot be reached".to_owned(),
        other => {
            return Err(NoAnswer {
                cause: format!("its answer cannot be used: {other}"),
                is_silent: false,
                may_pass: true,
            });
        }
    };
    Err(NoAnswer {
        cause,
        is_silent: true,
        may_pass: true,
    })
}

fn refusal(code: ResponseCode) -> NoAnswer {
    match code {
        ResponseCode::FormErr => NoAnswer::final_one(FORMAT_ERROR),
        ResponseCode::ServFail => NoAnswer {
            cause: "it failed to look the name up (SERVFAIL)".to_owned(),
            is_silent: false,
            may_pass: true,
        },
        ResponseCode::Refused => NoAnswer::final_one("it refused the query (REFUSED)"),
        code => NoAnswer::final_one(format!("it answered with an error: {code}")),
    }
}

/// What a name is an alias of.
fn alias_of(response: &DnsResponse, name: &Name) -> Option<Name> {
    response
        .answers
        .iter()
        .find_map(|record| match &record.data {
            RData::CNAME(target) if record.name == *name => Some(target.0.clone()),
            _ => None,
        })
}
