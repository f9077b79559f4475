//! Trouble on purpose: a share of the accounts whose connectors cannot be listed, so that it can be seen how that looks.

use std::str::FromStr;
use std::time::Duration;

use hyper::StatusCode;

use super::answer::Answer;
use super::routes::BASE_PATH;
use super::seed::mix;

/// How long an answer takes that nobody waits for.
const FOR_EVER: Duration = Duration::from_secs(86_400);
/// The `retry-after` of an account that is asked too often: short, so that a look at it does not take minutes.
const RETRY_AFTER: u64 = 1;

/// What is wrong with an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// 500, each time.
    Server,
    /// No answer.
    Timeout,
    /// The token may not read it.
    Forbidden,
    /// Its list is shorter than it says.
    Incomplete,
    /// 429, each time.
    RateLimited,
    /// A page of HTML in place of JSON.
    Malformed,
}

impl Trouble {
    const ALL: [(&'static str, Self); 6] = [
        ("server", Self::Server),
        ("timeout", Self::Timeout),
        ("forbidden", Self::Forbidden),
        ("incomplete", Self::Incomplete),
        ("rate-limited", Self::RateLimited),
        ("malformed", Self::Malformed),
    ];

    /// What is answered in place of a list of connectors.
    pub(super) async fn spoil(self, answer: Answer) -> Answer {
        match self {
            Self::Server => Answer {
                status: StatusCode::INTERNAL_SERVER_ERROR,
                body: b"<html><title>500: Internal Server Error</title></html>".to_vec(),
                ..answer
            },
            Self::Timeout => {
                tokio::time::sleep(FOR_EVER).await;
                answer
            }
            Self::Forbidden => Answer::refusal(
                StatusCode::FORBIDDEN,
                9109,
                "Unauthorized to access requested resource",
            ),
            Self::Incomplete => answer.with_one_less(),
            Self::RateLimited => Answer::throttled(RETRY_AFTER),
            Self::Malformed => Answer {
                body: b"<html><title>Attention required</title></html>".to_vec(),
                ..answer
            },
        }
    }
}

/// A kind of trouble, and which share of the accounts is in it: `server=5%` or `server=0.05`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TroubleShare {
    kind: Trouble,
    /// 0 to 1.
    share: f64,
}

impl FromStr for TroubleShare {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let kinds = || Trouble::ALL.map(|(name, _)| name).join(", ");
        let (name, share) = text
            .split_once('=')
            .ok_or("has no share; trouble looks like server=5%")?;
        let (_, kind) = Trouble::ALL
            .into_iter()
            .find(|(known, _)| *known == name)
            .ok_or_else(|| format!("{name:?} is no kind of trouble; there are {}", kinds()))?;
        let number = |text: &str| text.parse::<f64>().ok();
        let share = match share.strip_suffix('%') {
            Some(percent) => number(percent).map(|percent| percent / 100.0),
            None => number(share),
        };
        match share {
            Some(share) if (0.0..=1.0).contains(&share) => Ok(Self { kind, share }),
            _ => Err("is no share of the accounts; trouble looks like server=5%".to_owned()),
        }
    }
}

/// Which accounts are in trouble: the same ones each time, by their ids.
#[derive(Debug, Clone, Default)]
pub struct Troubles(Vec<TroubleShare>);

impl Troubles {
    /// Each account is in one kind of trouble at most.
    ///
    /// # Errors
    /// The shares are more than all.
    pub fn new(shares: Vec<TroubleShare>) -> Result<Self, String> {
        let sum: f64 = shares.iter().map(|share| share.share).sum();
        if sum > 1.0 + f64::EPSILON {
            return Err("the shares of the accounts in trouble are more than all".to_owned());
        }
        Ok(Self(shares))
    }

    /// The trouble of the account whose connectors a path lists.
    pub(super) fn of_path(&self, path: &str) -> Option<Trouble> {
        let below = path.strip_prefix(BASE_PATH)?.strip_prefix("/accounts/")?;
        let account_id = below.strip_suffix("/sso_connectors")?;
        self.of(account_id)
    }

    fn of(&self, account_id: &str) -> Option<Trouble> {
        let hash = account_id
            .bytes()
            .fold(0, |hash: u64, byte| mix(hash ^ u64::from(byte)));
        let mut place = hash as f64 / u64::MAX as f64;
        self.0
            .iter()
            .find(|share| {
                place -= share.share;
                place < 0.0
            })
            .map(|share| share.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_read_and_kept() {
        let shares = ["server=10%", "timeout=0.2"].map(|text| text.parse().unwrap());
        let troubles = Troubles::new(shares.to_vec()).unwrap();
        let of = |kind| {
            let ids = (0..10_000u32).map(|number| format!("{number:032x}"));
            ids.filter(|id| troubles.of(id) == Some(kind)).count()
        };
        for (kind, about) in [(Trouble::Server, 1000), (Trouble::Timeout, 2000)] {
            assert!(of(kind).abs_diff(about) < 150, "{kind:?}: {}", of(kind));
        }
        assert_eq!(of(Trouble::Malformed), 0);
        for wrong in [
            "",
            "server",
            "server=",
            "server=101%",
            "server=-1%",
            "x=5%",
            "server=NaN",
        ] {
            assert!(wrong.parse::<TroubleShare>().is_err(), "{wrong}");
        }
        let all: TroubleShare = "forbidden=100%".parse().unwrap();
        assert!(Troubles::new(vec![all, shares[0]]).is_err());
        assert_eq!(
            Troubles::new(vec![all]).unwrap().of("x"),
            Some(Trouble::Forbidden)
        );
    }

    #[tokio::test]
    async fn an_account_that_is_asked_too_often_is_told_when_to_come_back() {
        let answer = Trouble::RateLimited.spoil(Answer::acknowledged()).await;
        assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(answer.retry_after, Some(RETRY_AFTER));
    }

    #[test]
    fn only_lists_of_connectors_are_spoilt() {
        let troubles = Troubles::new(vec!["forbidden=1".parse().unwrap()]).unwrap();
        let is_spoilt = |path: &str| troubles.of_path(path).is_some();
        assert!(is_spoilt("/client/v4/accounts/x/sso_connectors"));
        assert!(!is_spoilt("/client/v4/accounts/x/sso_connectors/y"));
        assert!(!is_spoilt("/client/v4/accounts/x"));
        assert!(!is_spoilt("/client/v4/accounts"));
    }
}
