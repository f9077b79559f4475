//! Accounts to evidence, many at once: one result for each account, whatever happens.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::task::{Id, JoinSet};

use crate::accounts::AskedAccount;
use crate::api::{Answered, Api, ConnectorList, Lane};
use crate::clock::Clock;
use crate::evidence::{AccountEvidence, EvidenceError, EvidenceWriter};
use crate::outcome::{ErrorKind, Outcome, ReadError};
use crate::text::{count, for_terminal};

/// How often whoever watches is told that time has passed.
const TICK: Duration = Duration::from_millis(200);

/// Is told how the collecting goes on.
pub trait Observer {
    /// An account's evidence has been written.
    fn account(&mut self, asked: &AskedAccount, evidence: &AccountEvidence);
    /// Some time has passed.
    fn tick(&mut self);
}

/// How the collecting ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Every account has its line.
    Done,
    /// It was asked to stop; what was read is kept.
    Interrupted,
}

/// The accounts that one token has to read.
struct Queue {
    lane: Arc<Lane>,
    positions: VecDeque<usize>,
    under_way: usize,
}

/// Reads the accounts at some positions, in their order. `lanes` holds the lane of each account by its position.
/// Each token's accounts are read beside the others', `concurrency` at once for each, so that a token that has to
/// wait holds up no other; how many requests are in progress in all is the gate's to limit.
///
/// # Errors
/// The evidence cannot be written; what was written before is kept.
pub async fn collect(
    api: &Api,
    positions: Vec<usize>,
    lanes: &[Arc<Lane>],
    writer: &mut EvidenceWriter,
    observer: &mut dyn Observer,
    stop: impl Future<Output = ()>,
) -> Result<End, EvidenceError> {
    let options = api.gate().options();
    let read = |lane, position, account_id| read_account(api.clone(), lane, position, account_id);
    let bounds = Bounds {
        clock: options.clock,
        concurrency: options.concurrency,
    };
    collect_by(read, bounds, positions, lanes, writer, observer, stop).await
}

/// What the collecting keeps to.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    clock: Clock,
    /// Accounts in progress at once, for each token.
    concurrency: usize,
}

/// Collects by any way of reading one account.
async fn collect_by<F>(
    read: impl Fn(Arc<Lane>, usize, String) -> F,
    Bounds { clock, concurrency }: Bounds,
    positions: Vec<usize>,
    lanes: &[Arc<Lane>],
    writer: &mut EvidenceWriter,
    observer: &mut dyn Observer,
    stop: impl Future<Output = ()>,
) -> Result<End, EvidenceError>
where
    F: Future<Output = Collected> + Send + 'static,
{
    let (valid, invalid): (Vec<_>, Vec<_>) = positions
        .into_iter()
        .partition(|&position| writer.header().accounts[position].is_valid());
    let mut queues = queues(valid, lanes);
    let mut troubles = Troubles::default();
    for position in invalid {
        let account = &writer.header().accounts[position];
        let error = ReadError::new(ErrorKind::InvalidId, account.problem.clone());
        let collected = Collected::unread(position, error, clock);
        keep(writer, observer, &mut troubles, collected)?;
    }

    let mut tasks: JoinSet<Collected> = JoinSet::new();
    let mut started: HashMap<Id, (usize, usize)> = HashMap::new();
    let mut ticks = tokio::time::interval(TICK);
    tokio::pin!(stop);
    loop {
        for (number, queue) in queues.iter_mut().enumerate() {
            while queue.under_way < concurrency
                && let Some(position) = queue.positions.pop_front()
            {
                queue.under_way += 1;
                let account_id = writer.header().accounts[position].id.clone();
                let task = read(Arc::clone(&queue.lane), position, account_id);
                started.insert(tasks.spawn(task).id(), (number, position));
            }
        }
        tokio::select! {
            biased;
            () = &mut stop => {
                tasks.abort_all();
                troubles.tell();
                return Ok(End::Interrupted);
            }
            joined = tasks.join_next_with_id() => {
                let (id, outcome) = match joined {
                    None => {
                        troubles.tell();
                        return Ok(End::Done);
                    }
                    Some(Ok((id, collected))) => (id, Ok(collected)),
                    Some(Err(error)) => (error.id(), Err(error)),
                };
                let Some((number, position)) = started.remove(&id) else { continue };
                queues[number].under_way -= 1;
                let collected = outcome.unwrap_or_else(|error| {
                    let message = format!("the task that read this account ended unexpectedly ({error}); this is a bug of this program");
                    Collected::unread(position, ReadError::new(ErrorKind::Interrupted, message), clock)
                });
                keep(writer, observer, &mut troubles, collected)?;
            }
            _ = ticks.tick() => observer.tick(),
        }
    }
}

/// The accounts to be read, by token, each in the order in which they were asked for.
fn queues(positions: Vec<usize>, lanes: &[Arc<Lane>]) -> Vec<Queue> {
    let mut queues: Vec<Queue> = Vec::new();
    for position in positions {
        let lane = &lanes[position];
        match queues
            .iter_mut()
            .find(|queue| Arc::ptr_eq(&queue.lane, lane))
        {
            Some(queue) => queue.positions.push_back(position),
            None => queues.push(Queue {
                lane: Arc::clone(lane),
                positions: VecDeque::from([position]),
                under_way: 0,
            }),
        }
    }
    queues
}

/// Why accounts were not read in full: told once for each cause, however many accounts it cost.
#[derive(Default)]
struct Troubles(BTreeMap<&'static str, Trouble>);

struct Trouble {
    accounts: usize,
    /// The first account that it cost, and what that was met with.
    account: String,
    error: ReadError,
    cf_ray: Option<String>,
}

impl Troubles {
    fn add(&mut self, asked: &AskedAccount, collected: &Collected) {
        let evidence = &collected.evidence;
        let Some(error) = &evidence.error else {
            return;
        };
        let trouble = self
            .0
            .entry(error.kind.as_str())
            .or_insert_with(|| Trouble {
                accounts: 0,
                account: for_terminal(&asked.id).into_owned(),
                error: error.clone(),
                cf_ray: evidence.cf_ray.clone(),
            });
        trouble.accounts += 1;
    }

    fn tell(&self) {
        for (kind, trouble) in &self.0 {
            let Trouble {
                accounts, error, ..
            } = trouble;
            let more = match accounts {
                1 => "",
                // Each is told already.
                _ if tracing::enabled!(tracing::Level::INFO) => " (the first of these)",
                _ => " (the first of these; -v shows all)",
            };
            tracing::warn!(
                account = trouble.account,
                kind,
                code = error.code,
                cf_ray = trouble.cf_ray,
                "{} not read in full: {}{more}",
                count(*accounts, "account"),
                error.message
            );
        }
    }
}

fn keep(
    writer: &mut EvidenceWriter,
    observer: &mut dyn Observer,
    troubles: &mut Troubles,
    collected: Collected,
) -> Result<(), EvidenceError> {
    let asked = &writer.header().accounts[collected.evidence.position];
    troubles.add(asked, &collected);
    let Collected {
        evidence,
        body,
        _place,
    } = collected;
    if let Some(error) = &evidence.error {
        tracing::info!(
            account = &*for_terminal(&asked.id),
            name = &*for_terminal(&asked.name),
            kind = error.kind.as_str(),
            code = error.code,
            cf_ray = evidence.cf_ray,
            attempts = evidence.attempts,
            "account {}: {}",
            evidence.outcome.as_str(),
            error.message
        );
    }
    writer.append(&evidence, body.as_deref())?;
    let asked = &writer.header().accounts[evidence.position];
    observer.account(asked, &evidence);
    Ok(())
}

/// An account's evidence, with the body that the evidence file keeps.
struct Collected {
    evidence: AccountEvidence,
    body: Option<bytes::Bytes>,
    /// That of a large body, until it is written.
    _place: Option<Arc<OwnedSemaphorePermit>>,
}

impl Collected {
    fn unread(position: usize, error: ReadError, clock: Clock) -> Self {
        Self {
            evidence: AccountEvidence {
                read_at: Some(clock.now()),
                ..AccountEvidence::unread(position, error)
            },
            body: None,
            _place: None,
        }
    }
}

async fn read_account(api: Api, lane: Arc<Lane>, position: usize, account_id: String) -> Collected {
    let clock = api.gate().options().clock;
    let Answered { result, exchange } = api.list_connectors(&lane, &account_id).await;
    let mut evidence = AccountEvidence {
        http_status: exchange.http_status,
        cf_ray: exchange.cf_ray,
        attempts: exchange.attempts,
        read_at: Some(exchange.at.unwrap_or_else(|| clock.now())),
        body_sha256: exchange.body_sha256,
        ..AccountEvidence::unread(position, ReadError::new(ErrorKind::Api, ""))
    };
    match result {
        Err(error) => {
            if lane.is_doubtful() {
                verify(&api, &lane).await;
            }
            evidence.error = Some(error);
            Collected {
                evidence,
                body: None,
                _place: None,
            }
        }
        Ok(list) => {
            evidence.error = missing(&list);
            evidence.outcome = if evidence.error.is_some() {
                Outcome::Incomplete
            } else {
                Outcome::Read
            };
            evidence.connectors = list.connectors;
            Collected {
                evidence,
                body: Some(exchange.body),
                _place: exchange.place,
            }
        }
    }
}

/// Asks what a token is worth that was refused again and again, so that a bad one is not tried on thousands of accounts.
async fn verify(api: &Api, lane: &Arc<Lane>) {
    match api.verify_user_token(lane).await.result {
        Err(error) if error.kind == ErrorKind::Auth => lane.give_up(&error),
        Ok(_) | Err(_) => {}
    }
}

/// Why a list is incomplete: the API has been documented to answer one of 2,000 connectors, and has no further page.
pub fn missing(list: &ConnectorList) -> Option<ReadError> {
    let listed = list.connectors.len() as u64;
    let total = list.total_count.filter(|&total| total > listed)?;
    let message = format!(
        "the answer contains {listed} of {total} connectors, and the API has no further pages"
    );
    Some(ReadError::new(ErrorKind::IncompleteList, message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Token;
    use crate::evidence::FILE_NAME;
    use crate::file_mode::FileMode;
    use crate::rate::Rate;

    struct Seen(Vec<(String, Outcome)>);

    impl Observer for Seen {
        fn account(&mut self, asked: &AskedAccount, evidence: &AccountEvidence) {
            self.0.push((asked.id.clone(), evidence.outcome));
        }
        fn tick(&mut self) {}
    }

    fn id(number: usize) -> String {
        format!("{number:032x}")
    }

    /// Collects three accounts and one that is none, each read as `read` says.
    async fn collected<F>(
        read: impl Fn(Arc<Lane>, usize, String) -> F,
        stop: impl Future<Output = ()>,
    ) -> (End, Vec<AccountEvidence>, Seen)
    where
        F: Future<Output = Collected> + Send + 'static,
    {
        let ids = [id(1), id(2), "none".to_owned(), id(3)];
        let accounts: Vec<_> = ids.iter().map(|id| AskedAccount::new(id, "test")).collect();
        let dir = tempfile::tempdir().unwrap();
        let header = crate::evidence::testing::header(accounts);
        let path = dir.path().join(FILE_NAME);
        let mut writer = EvidenceWriter::create(&path, header, FileMode::default()).unwrap();
        let rate = Rate {
            requests: 10,
            window: TICK,
        };
        let token = Token::parse("T", "cfut_0123456789abcdef").unwrap();
        let lane = Arc::new(Lane::new("T", token, rate));
        let bounds = Bounds {
            clock: Clock::default(),
            concurrency: 2,
        };
        let mut seen = Seen(Vec::new());
        let lanes = vec![lane; 4];
        let end = collect_by(
            read,
            bounds,
            (0..4).collect(),
            &lanes,
            &mut writer,
            &mut seen,
            stop,
        )
        .await;
        let evidence = writer.finish().unwrap();
        let lines = (0..4)
            .map(|position| evidence.account(position, &mut Vec::new()).unwrap())
            .collect();
        (end.unwrap(), lines, seen)
    }

    async fn read(position: usize) -> Collected {
        let mut evidence = AccountEvidence::unread(position, ReadError::new(ErrorKind::Api, ""));
        evidence.outcome = Outcome::Read;
        evidence.error = None;
        Collected {
            evidence,
            body: Some(bytes::Bytes::from_static(b"{\"result\":[]}")),
            _place: None,
        }
    }

    #[tokio::test]
    async fn an_account_whose_task_panics_is_unread_and_costs_no_other() {
        let reader = |_, position, account_id| async move {
            assert_ne!(account_id, id(2), "on purpose");
            read(position).await
        };
        let (end, lines, seen) = collected(reader, std::future::pending()).await;
        assert_eq!((end, seen.0.len()), (End::Done, 4));
        let outcomes: Vec<_> = lines.iter().map(|line| line.outcome).collect();
        assert_eq!(
            outcomes,
            [
                Outcome::Read,
                Outcome::Unread,
                Outcome::Unread,
                Outcome::Read
            ]
        );
        let error = lines[1].error.as_ref().unwrap();
        assert_eq!(error.kind, ErrorKind::Interrupted);
        assert!(error.message.contains("on purpose"), "{}", error.message);
        assert_eq!(lines[2].error.as_ref().unwrap().kind, ErrorKind::InvalidId);
    }

    #[tokio::test]
    async fn asked_to_stop_it_stops_though_nothing_is_answered() {
        let reader = |_, _, _| std::future::pending();
        let (end, lines, seen) = collected(reader, std::future::ready(())).await;
        assert_eq!((end, seen.0.len()), (End::Interrupted, 1));
        assert_eq!(
            lines[0].error.as_ref().unwrap().kind,
            ErrorKind::Interrupted
        );
    }
}
