//! From findings to the plan that would mend them: pure. Carrying it out is the command's.
//!
//! A plan never deletes. What it would do to a connector rests on what the evidence says of it; whoever carries it
//! out reads the connector again first, and leaves alone what is no longer so.

use serde::Serialize;

use crate::api::ConnectorChange;
use crate::assess::Assessed;
use crate::model::{Connector, Status};
use crate::policy::{FedrampExpectation, Policy};

/// What is allowed beside the harmless actions.
#[derive(Debug, Clone, Copy, Default)]
pub struct Allowed {
    /// To enable verified connectors, which takes effect for every user of the domain, in whatever account.
    pub enable: bool,
    /// To disable connectors that are enabled without a verified domain.
    pub disable: bool,
}

/// What would be done to a connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
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
    /// The rule whose finding it would mend.
    pub rule: &'static str,
    /// The finding.
    pub finding_id: String,
    /// The connector as the evidence has it.
    pub evidence: Connector,
}

/// A finding that no step mends, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unmended {
    /// The account.
    pub account_id: String,
    /// The domain it is about, or empty.
    pub email_domain: String,
    /// The rule.
    pub rule: &'static str,
    /// Why there is no step for it.
    pub reason: String,
}

/// A record that has to be published before a verification can succeed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Record {
    /// The e-mail domain itself.
    pub name: String,
    /// The whole verification code.
    pub value: String,
}

/// What would be done, what would not, and what DNS has to do.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Plan {
    /// In the order of the accounts.
    pub steps: Vec<Step>,
    /// Findings that need a person.
    pub unmended: Vec<Unmended>,
    /// TXT records to publish.
    pub records: Vec<Record>,
}

impl Plan {
    /// Adds what would mend an account's open findings.
    pub fn add(&mut self, assessed: &Assessed<'_>, policy: &Policy, allowed: Allowed) {
        for finding in assessed.findings.iter().filter(|finding| finding.is_open()) {
            let connector = finding
                .connector
                .and_then(|index| assessed.evidence.connectors.get(index));
            let action = match connector {
                None => Err("it concerns the account as a whole".to_owned()),
                // The finding that it is stale begins the verification again.
                Some(_)
                    if finding.rule.id == "unverified-domain"
                        && is_stale(assessed, finding.connector) =>
                {
                    Ok(None)
                }
                Some(connector) => action(
                    finding.rule.id,
                    connector,
                    policy.fedramp(&assessed.asked.id),
                    allowed,
                ),
            };
            let id = connector.and_then(|connector| connector.id.known());
            match (action, connector, id) {
                (Ok(Some(action)), Some(connector), Some(id)) => {
                    if action == Action::BeginVerification {
                        self.records.extend(record(connector));
                    }
                    let twin = |step: &Step| {
                        step.account_id == assessed.asked.id
                            && step.connector_id == *id
                            && step.action == action
                    };
                    if !self
                        .steps
                        .iter()
                        .rev()
                        .take(assessed.findings.len())
                        .any(twin)
                    {
                        self.steps.push(Step {
                            account_id: assessed.asked.id.clone(),
                            account_name: assessed.asked.name.clone(),
                            connector_id: id.clone(),
                            email_domain: finding.email_domain.clone(),
                            action,
                            rule: finding.rule.id,
                            finding_id: finding.id.clone(),
                            evidence: connector.clone(),
                        });
                    }
                }
                (Ok(None), _, _) => {}
                (Ok(Some(_)), _, _) => self.leave(
                    assessed,
                    finding,
                    "the connector has no id by which it could be changed".to_owned(),
                ),
                (Err(reason), _, _) => self.leave(assessed, finding, reason),
            }
        }
    }

    fn leave(
        &mut self,
        assessed: &Assessed<'_>,
        finding: &crate::finding::Finding,
        reason: String,
    ) {
        self.unmended.push(Unmended {
            account_id: assessed.asked.id.clone(),
            email_domain: finding.email_domain.clone(),
            rule: finding.rule.id,
            reason,
        });
    }
}

fn is_stale(assessed: &Assessed<'_>, connector: Option<usize>) -> bool {
    let stale = |finding: &crate::finding::Finding| {
        finding.is_open()
            && finding.rule.id == "stale-verification"
            && finding.connector == connector
    };
    assessed.findings.iter().any(stale)
}

/// What mends a finding; nothing where another finding's step does, and why not where no step can.
fn action(
    rule: &str,
    connector: &Connector,
    fedramp: FedrampExpectation,
    allowed: Allowed,
) -> Result<Option<Action>, String> {
    let status = connector.verification.status.known();
    match rule {
        "enabled-unverified" if allowed.disable => Ok(Some(Action::Disable)),
        "enabled-unverified" => Err("disabling it needs --disable".to_owned()),
        "unverified-domain" if status == Some(&Status::Pending) => {
            Err("verification is under way: publish the TXT record, and wait".to_owned())
        }
        "unverified-domain" | "stale-verification" => Ok(Some(Action::BeginVerification)),
        "disabled-connector" if !connector.is_verified() => {
            Err("it can be enabled once its domain is verified".to_owned())
        }
        "disabled-connector" if allowed.enable => Ok(Some(Action::Enable)),
        "disabled-connector" => Err(
            "enabling it needs --enable: it takes effect for every user of the domain".to_owned(),
        ),
        "fedramp-language" => Ok(match fedramp {
            FedrampExpectation::Required => Some(Action::FedrampOn),
            FedrampExpectation::Forbidden => Some(Action::FedrampOff),
            FedrampExpectation::Any => None,
        }),
        _ => Err("it needs a person's decision".to_owned()),
    }
}

fn record(connector: &Connector) -> Option<Record> {
    let (name, value) = (
        connector.canonical_domain()?,
        connector.verification.code.known()?,
    );
    Some(Record {
        name: name.into_owned(),
        value: value.clone(),
    })
}

/// Why a step is not to be carried out on a connector as it is now; `None` where it may.
pub fn objection(step: &Step, now: &Connector) -> Option<String> {
    let changed =
        |what: &str, before: std::borrow::Cow<'_, str>, now: std::borrow::Cow<'_, str>| {
            (before != now).then(|| format!("{what} was {before}, and is {now} now"))
        };
    let before = &step.evidence;
    if now.canonical_domain() != before.canonical_domain() {
        return changed(
            "its domain",
            before.email_domain.shown("unknown"),
            now.email_domain.shown("unknown"),
        )
        .or_else(|| Some("its domain is another".to_owned()));
    }
    let status = changed(
        "its status",
        before.verification.status.shown("unknown"),
        now.verification.status.shown("unknown"),
    );
    let enabled = || {
        changed(
            "enabled",
            before.enabled.shown("unknown"),
            now.enabled.shown("unknown"),
        )
    };
    match step.action {
        Action::BeginVerification => status,
        Action::Enable | Action::Disable => enabled().or(status),
        Action::FedrampOn | Action::FedrampOff => changed(
            "the FedRAMP text",
            before.use_fedramp_language.shown("unknown"),
            now.use_fedramp_language.shown("unknown"),
        ),
    }
}

/// The records as a snippet of a zone file, long values in several strings as DNS has them.
pub fn zone_snippet(records: &[Record]) -> String {
    let line = |record: &Record| {
        let strings: Vec<_> = record.value.as_bytes().chunks(255).map(quoted).collect();
        format!(
            "{}. 300 IN TXT {}\n",
            record.name.trim_end_matches('.'),
            strings.join(" ")
        )
    };
    records.iter().map(line).collect()
}

/// A character string of a zone file: what is not plain is written by its number.
fn quoted(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => text.extend(['\\', byte as char]),
            b' '..=b'~' => text.push(byte as char),
            _ => text.push_str(&format!("\\{byte:03}")),
        }
    }
    text + "\""
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assess::{Assessor, Earlier, KnownElsewhere};
    use crate::evidence::SharedDomains;
    use crate::rules::testing::{Case, NOW};
    use serde_json::{Value, json};

    const ID: &str = "c0000000000000000000000000000001";

    fn plan(connectors: Value, policy: &Policy, allowed: Allowed) -> Plan {
        let case = Case::read(connectors);
        let header = crate::evidence::testing::header(case.accounts.clone());
        let assessor = Assessor {
            header: &header,
            policy,
            shared_domains: &SharedDomains::default(),
            now: NOW.parse().unwrap(),
            elsewhere: &KnownElsewhere::default(),
            compares: false,
        };
        let mut plan = Plan::default();
        plan.add(
            &assessor.assess(case.evidence, Earlier::default()),
            policy,
            allowed,
        );
        plan
    }

    fn connector(enabled: bool, status: &str) -> Value {
        json!({"id": ID, "email_domain": "A.example.", "enabled": enabled, "use_fedramp_language": true, "updated_on": "2026-11-01T00:00:00Z",
               "verification": {"status": status, "code": "cloudflare_dashboard_sso=1"}})
    }

    fn actions(connectors: Value, policy: &Policy, allowed: Allowed) -> Vec<&'static str> {
        plan(connectors, policy, allowed)
            .steps
            .iter()
            .map(|step| step.action.as_str())
            .collect()
    }

    #[test]
    fn what_is_harmless_is_planned_and_what_is_not_needs_its_flag() {
        let (policy, none) = (Policy::default(), Allowed::default());
        let all = Allowed {
            enable: true,
            disable: true,
        };
        for (enabled, status, harmless, allowed) in [
            (
                false,
                "awaiting",
                vec!["begin-verification"],
                vec!["begin-verification"],
            ),
            (
                false,
                "failed",
                vec!["begin-verification"],
                vec!["begin-verification"],
            ),
            (
                false,
                "pending",
                vec!["begin-verification"],
                vec!["begin-verification"],
            ),
            (false, "verified", vec![], vec!["enable"]),
            (true, "verified", vec![], vec![]),
            (
                true,
                "failed",
                vec!["begin-verification"],
                vec!["disable", "begin-verification"],
            ),
        ] {
            let connectors = json!([connector(enabled, status)]);
            assert_eq!(
                actions(connectors.clone(), &policy, none),
                harmless,
                "{enabled} {status}"
            );
            assert_eq!(
                actions(connectors, &policy, all),
                allowed,
                "{enabled} {status}"
            );
        }
    }

    #[test]
    fn the_fedramp_text_is_set_to_what_the_policy_expects() {
        for (expected, actual, planned) in [
            (FedrampExpectation::Forbidden, true, vec!["fedramp-off"]),
            (FedrampExpectation::Required, false, vec!["fedramp-on"]),
            (FedrampExpectation::Required, true, vec![]),
            (FedrampExpectation::Any, true, vec![]),
        ] {
            let policy = Policy {
                fedramp: expected,
                ..Policy::default()
            };
            let mut one = connector(true, "verified");
            one["use_fedramp_language"] = actual.into();
            assert_eq!(actions(json!([one]), &policy, Allowed::default()), planned);
        }
    }

    #[test]
    fn what_no_step_mends_is_said_with_the_reason() {
        let plan = plan(
            json!([{"email_domain": "a.example", "verification": {"status": "failed"}}]),
            &Policy::default(),
            Allowed::default(),
        );
        let reasons: Vec<_> = plan
            .unmended
            .iter()
            .map(|left| (left.rule, left.reason.as_str()))
            .collect();
        assert_eq!(
            reasons,
            [
                (
                    "unverified-domain",
                    "the connector has no id by which it could be changed"
                ),
                ("unknown-value", "it needs a person's decision")
            ]
        );
    }

    #[test]
    fn a_connector_that_changed_meanwhile_is_left_alone() {
        let plan = plan(
            json!([connector(false, "failed")]),
            &Policy::default(),
            Allowed::default(),
        );
        let read = |value: Value| serde_json::from_value::<Connector>(value).unwrap();
        assert_eq!(
            objection(&plan.steps[0], &read(connector(false, "failed"))),
            None
        );
        assert_eq!(
            objection(&plan.steps[0], &read(connector(false, "pending"))).unwrap(),
            "its status was failed, and is pending now"
        );
        let mut other = connector(false, "failed");
        other["email_domain"] = "b.example".into();
        assert_eq!(
            objection(&plan.steps[0], &read(other)).unwrap(),
            "its domain was A.example., and is b.example now"
        );
    }

    #[test]
    fn records_are_a_zone_file() {
        let record = |value: &str| Record {
            name: "a.example".to_owned(),
            value: value.to_owned(),
        };
        assert_eq!(
            zone_snippet(&[record("x=1")]),
            "a.example. 300 IN TXT \"x=1\"\n"
        );
        assert_eq!(
            zone_snippet(&[record("a\"\\\u{e9}\n")]),
            "a.example. 300 IN TXT \"a\\\"\\\\\\195\\169\\010\"\n"
        );
        assert_eq!(
            zone_snippet(&[record(&"x".repeat(300))])
                .matches('"')
                .count(),
            4
        );
    }
}
