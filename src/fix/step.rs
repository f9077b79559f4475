//! One step of a plan: what is done to a connector, when it is left alone, and how it shows that it was done.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::api::ConnectorChange;
use crate::model::{Connector, Status};
use crate::severity::Severity;

/// What would be done to a connector. Several on one connector are carried out in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Disable it, because its domain is not verified.
    Disable,
    /// Have Cloudflare look for its TXT record (again).
    BeginVerification,
    /// Show the FedRAMP text at login.
    FedrampOn,
    /// No longer show the FedRAMP text at login.
    FedrampOff,
    /// Enable it.
    Enable,
}

impl Action {
    /// The word in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::BeginVerification => "begin-verification",
            Self::FedrampOn => "fedramp-on",
            Self::FedrampOff => "fedramp-off",
            Self::Enable => "enable",
        }
    }

    /// What has to be changed of the connector; `None` where verification is to be begun.
    pub fn change(self) -> Option<ConnectorChange> {
        let change = ConnectorChange::default();
        match self {
            Self::BeginVerification => None,
            Self::Enable | Self::Disable => Some(ConnectorChange {
                enabled: Some(self == Self::Enable),
                ..change
            }),
            Self::FedrampOn | Self::FedrampOff => Some(ConnectorChange {
                use_fedramp_language: Some(self == Self::FedrampOn),
                ..change
            }),
        }
    }

    /// Whether a connector is as one on which this was done.
    pub fn is_done_on(self, connector: &Connector) -> bool {
        match self {
            Self::Enable => connector.is_enabled(),
            Self::Disable => connector.is_disabled(),
            Self::FedrampOn | Self::FedrampOff => {
                connector.use_fedramp_language.known() == Some(&(self == Self::FedrampOn))
            }
            Self::BeginVerification => matches!(
                connector.verification.status.known(),
                Some(Status::Pending | Status::Verified)
            ),
        }
    }
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// The account.
    pub account_id: String,
    /// Its name, or empty.
    pub account_name: String,
    /// The connector.
    pub connector_id: String,
    /// Its domain.
    pub email_domain: String,
    /// What would be done.
    pub action: Action,
    /// The rule whose finding it would fix.
    pub rule: &'static str,
    /// The finding.
    pub finding_id: String,
    /// The finding's severity.
    pub severity: Severity,
    /// The connector as the evidence has it.
    pub evidence: Connector,
    /// The worst severity of the connector's steps, which are kept together.
    #[serde(skip)]
    pub(super) urgency: Severity,
}

impl Step {
    /// Whether the connector shows that the step was carried out: it is as the step would have it, and was not before,
    /// or has been changed since.
    pub fn is_done_on(&self, now: &Connector) -> bool {
        self.action.is_done_on(now)
            && (!self.action.is_done_on(&self.evidence)
                || now.changed_at() > self.evidence.changed_at())
    }

    /// Why the step is not to be carried out on a connector as it is now: everything of it that has changed since the
    /// audit, but for what the actions `sent` to it before are there to change. `None` where it may be carried out.
    pub fn objection(&self, now: &Connector, sent: impl Fn(Action) -> bool) -> Option<String> {
        let changed = WATCHED.iter().filter_map(|(what, value, changed_by)| {
            let (before, now) = (value(&self.evidence), value(now));
            let expected = before == now || changed_by.iter().any(|&action| sent(action));
            (!expected).then(|| format!("{what} was {before} and is now {now}"))
        });
        let changed: Vec<_> = changed.collect();
        (!changed.is_empty()).then(|| changed.join("; "))
    }
}

/// A field of a connector as text.
type Shown = fn(&Connector) -> Cow<'_, str>;

/// What has to be as in the evidence for a step to be carried out, and the actions that change it.
const WATCHED: [(&str, Shown, &[Action]); 5] = [
    (
        "its domain",
        |c| {
            c.canonical_domain()
                .unwrap_or_else(|| c.email_domain.shown("unknown"))
        },
        &[],
    ),
    (
        "its status",
        |c| c.verification.status.shown("unknown"),
        &[Action::BeginVerification],
    ),
    (
        "enabled",
        |c| c.enabled.shown("unknown"),
        &[Action::Disable, Action::Enable],
    ),
    (
        "the FedRAMP text",
        |c| c.use_fedramp_language.shown("unknown"),
        &[Action::FedrampOn, Action::FedrampOff],
    ),
    (
        "its verification code",
        |c| c.verification.code.shown("unknown"),
        &[],
    ),
];
