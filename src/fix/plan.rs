//! From findings to the plan that would fix them: pure.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::records::Record;
use super::step::{Action, Step};
use crate::api::is_connector_id;
use crate::assess::{Assessed, Assessor};
use crate::claims::KnownElsewhere;
use crate::dns::DnsTxt;
use crate::evidence::{Evidence, EvidenceError, RunHeader};
use crate::finding::Finding;
use crate::memory::Earlier;
use crate::model::{Connector, Status};
use crate::policy::Policy;
use crate::rules::Fix;
use crate::severity::Severity;

/// What is allowed beside the harmless actions.
#[derive(Debug, Clone, Copy, Default)]
pub struct Allowed {
    /// To enable verified connectors, which takes effect for every user of the domain, in whatever account.
    pub enable: bool,
    /// To disable connectors that are enabled without a verified domain.
    pub disable: bool,
}

/// A finding that no step fixes, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Manual {
    /// The account.
    pub account_id: String,
    /// Its name, or empty.
    pub account_name: String,
    /// The connector, or empty.
    pub connector_id: String,
    /// The domain it is about, or empty.
    pub email_domain: String,
    /// The rule.
    pub rule: &'static str,
    /// The finding's severity.
    pub severity: Severity,
    /// Why there is no step for it.
    pub reason: String,
}

/// What would be done, what would not, and what DNS has to do.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Plan {
    /// The worst first, those of one connector together.
    pub steps: Vec<Step>,
    /// Findings that need a person, the worst first. Programs that read the JSON know them by an older name.
    #[serde(rename = "unmended")]
    pub manual: Vec<Manual>,
    /// TXT records to publish.
    pub records: Vec<Record>,
}

/// What an open finding about a connector calls for.
enum Answer {
    /// A step.
    Step(Action),
    /// Nothing more than another finding's step.
    Covered,
    /// Waiting, once the TXT record is published.
    Wait,
    /// Publishing the TXT record; nothing can be begun before.
    Publish,
    /// Something that this program does not do, and why.
    Manual(&'static str),
    /// A person's decision about the connector itself: whether it should be there at all. Until it is made, nothing is
    /// done that would build on the connector.
    Decision,
}

/// What an open finding calls for, by what its rule says. `findings` are the connector's open ones.
fn answer(fix: Fix, connector: &Connector, findings: &[&Finding], grounds: Grounds) -> Answer {
    match fix {
        Fix::Disable if grounds.allowed.disable => Answer::Step(Action::Disable),
        Fix::Disable => Answer::Manual("needs --disable"),
        Fix::Enable => answer_enabling(connector, grounds),
        Fix::Verify if findings.iter().any(|f| f.rule.fix == Fix::VerifyAgain) => Answer::Covered,
        Fix::Verify if connector.verification.status.known() == Some(&Status::Pending) => {
            Answer::Wait
        }
        Fix::Publish => Answer::Publish,
        Fix::Verify | Fix::VerifyAgain => match connector.dns_txt() {
            None if !grounds.dns_was_looked_up => Answer::Step(Action::BeginVerification),
            None => Answer::Manual("its TXT record was not checked: audit again with --check-dns"),
            Some(DnsTxt::Match) => Answer::Step(Action::BeginVerification),
            Some(DnsTxt::Unknown) => {
                Answer::Manual("its TXT record could not be checked: check it again")
            }
            Some(_) => Answer::Publish,
        },
        Fix::FedrampText if connector.use_fedramp_language.known() == Some(&true) => {
            Answer::Step(Action::FedrampOff)
        }
        Fix::FedrampText => Answer::Step(Action::FedrampOn),
        Fix::Decision => Answer::Decision,
        Fix::Manual => Answer::Manual("needs a decision"),
    }
}

fn answer_enabling(connector: &Connector, grounds: Grounds) -> Answer {
    if !connector.is_verified() {
        Answer::Manual("can be enabled once its domain is verified")
    } else if !grounds.allowed.enable {
        Answer::Manual("needs --enable, which takes effect for every user of the domain")
    } else if !grounds.every_account_was_read {
        Answer::Manual(
            "can only be enabled from a run that read every account: an unread one may have the same domain",
        )
    } else {
        Answer::Step(Action::Enable)
    }
}

/// What decides which steps there are for findings of a run.
#[derive(Debug, Clone, Copy)]
struct Grounds {
    allowed: Allowed,
    /// Whether the run read every account: in one that it did not read, a connector may have the same domain.
    every_account_was_read: bool,
    /// Whether the run looked TXT records up.
    dns_was_looked_up: bool,
}

impl Plan {
    /// What would fix a run's open findings. Waivers hold or do not `now`, not when the run was made.
    ///
    /// # Errors
    /// The evidence cannot be read.
    pub fn of(
        evidence: &Evidence,
        policy: &Policy,
        allowed: Allowed,
        now: DateTime<Utc>,
    ) -> Result<Self, EvidenceError> {
        let header = evidence.header();
        let shared_domains = evidence.index().shared_domains();
        let elsewhere = KnownElsewhere {
            codes: evidence.codes()?,
            ..KnownElsewhere::default()
        };
        let assessor = Assessor {
            header,
            policy,
            shared_domains,
            now,
            elsewhere: &elsewhere,
            compares: false,
        };
        let grounds = Grounds {
            allowed,
            every_account_was_read: every_account_was_read(header, evidence),
            dns_was_looked_up: evidence.lookups().is_some(),
        };
        let mut plan = Self::default();
        let mut line = Vec::new();
        for position in 0..header.accounts.len() {
            let account = evidence.account(position, &mut line)?;
            plan.add(&assessor.assess(account, Earlier::default()), grounds);
        }
        plan.finish();
        Ok(plan)
    }

    /// Adds what would fix an account's open findings.
    fn add(&mut self, assessed: &Assessed<'_>, grounds: Grounds) {
        let mut of_connectors = vec![Vec::new(); assessed.evidence.connectors.len()];
        for finding in assessed.findings.iter().filter(|finding| finding.is_open()) {
            match finding
                .connector
                .and_then(|index| of_connectors.get_mut(index))
            {
                Some(findings) => findings.push(finding),
                None if finding.rule.fix == Fix::Manual && !finding.email_domain.is_empty() => {
                    self.leave(assessed, finding, "needs a decision");
                }
                None => self.leave(assessed, finding, "concerns the account as a whole"),
            }
        }
        let mut planned = HashSet::new();
        for (connector, findings) in assessed.evidence.connectors.iter().zip(&of_connectors) {
            let mut steps = self.answers(assessed, connector, findings, grounds);
            // Two records of one connector are changed once.
            steps.retain(|step| planned.insert((step.connector_id.clone(), step.action)));
            steps.sort_by_key(|step| step.action);
            if let Some(urgency) = steps.iter().map(|step| step.severity).min() {
                steps.iter_mut().for_each(|step| step.urgency = urgency);
            }
            self.steps.append(&mut steps);
        }
    }

    /// The steps that fix findings about one connector; what is left to a person, and the records, are added at once.
    fn answers(
        &mut self,
        assessed: &Assessed<'_>,
        connector: &Connector,
        findings: &[&Finding],
        grounds: Grounds,
    ) -> Vec<Step> {
        let answers: Vec<_> = findings
            .iter()
            .map(|&finding| {
                (
                    finding,
                    answer(finding.rule.fix, connector, findings, grounds),
                )
            })
            .collect();
        let undecided = answers
            .iter()
            .find(|(_, answer)| matches!(answer, Answer::Decision))
            .map(|(finding, _)| {
                format!(
                    "first decide about the connector itself: see {}",
                    finding.rule.id
                )
            })
            .or_else(|| {
                let unknown = connector.canonical_domain().is_none();
                unknown.then(|| "its domain is unknown".to_owned())
            });
        let mut steps = Vec::new();
        for (finding, answer) in answers {
            // Disabling builds on nothing: it is the way out while a person decides.
            let is_disabling = matches!(answer, Answer::Step(Action::Disable));
            let held = undecided.as_ref().filter(|_| !is_disabling);
            let step = match (answer, held) {
                (Answer::Covered, _) => continue,
                (Answer::Manual(reason), _) => Err(reason.to_owned()),
                (Answer::Decision, _) => Err("needs a decision about the connector".to_owned()),
                (Answer::Wait | Answer::Publish | Answer::Step(_), Some(reason)) => {
                    Err(reason.clone())
                }
                (Answer::Wait, None) if connector.dns_txt() == Some(DnsTxt::Match) => Err(
                    "verification is under way, and the TXT record is published: wait".to_owned(),
                ),
                (Answer::Wait, None) => {
                    self.records.extend(Record::of(connector));
                    Err("verification is under way: publish the TXT record, and wait".to_owned())
                }
                (Answer::Publish, None) => {
                    if connector.dns_txt() != Some(DnsTxt::NxDomain) {
                        self.records.extend(Record::of(connector));
                    }
                    Err(unpublished(connector))
                }
                (Answer::Step(action), None) => address(connector).map(|id| (id, action)),
            };
            let (id, action) = match step {
                Ok(step) => step,
                Err(reason) => {
                    self.leave(assessed, finding, &reason);
                    continue;
                }
            };
            let is_published = connector.dns_txt() == Some(DnsTxt::Match);
            if action == Action::BeginVerification && !is_published {
                self.records.extend(Record::of(connector));
            }
            steps.push(Step {
                account_id: assessed.asked.id.clone(),
                account_name: assessed.asked.name.clone(),
                connector_id: id.to_owned(),
                email_domain: finding.email_domain.to_string(),
                action,
                rule: finding.rule.id,
                finding_id: finding.id.to_string(),
                severity: finding.severity,
                evidence: connector.clone(),
                urgency: finding.severity,
            });
        }
        steps
    }

    fn leave(&mut self, assessed: &Assessed<'_>, finding: &Finding, reason: &str) {
        self.manual.push(Manual {
            account_id: assessed.asked.id.clone(),
            account_name: assessed.asked.name.clone(),
            connector_id: finding.connector_id.to_string(),
            email_domain: finding.email_domain.to_string(),
            rule: finding.rule.id,
            severity: finding.severity,
            reason: reason.to_owned(),
        });
    }

    /// Puts what was added in order, once all accounts were.
    fn finish(&mut self) {
        self.steps.sort_by_key(|step| step.urgency);
        self.manual.sort_by_key(|left| left.severity);
        self.records.sort();
        self.records.dedup();
    }
}

/// Why verification is not begun.
fn unpublished(connector: &Connector) -> String {
    let dns = connector.dns.as_ref();
    match dns.map(|seen| (seen.txt, seen.detail.as_str())) {
        Some((DnsTxt::NxDomain, _)) => "its domain does not exist in DNS".to_owned(),
        Some((DnsTxt::Misspelt, _)) => "its TXT record is misspelt: correct it first".to_owned(),
        Some((DnsTxt::Misplaced, place)) => {
            format!("its TXT record is at {place}: publish it at the domain itself first")
        }
        _ => "its TXT record is not published: publish it first".to_owned(),
    }
}

fn every_account_was_read(header: &RunHeader, evidence: &Evidence) -> bool {
    let is_read = |position| evidence.index().is_read(position);
    header.shards_alone().is_none()
        && header.gaps.is_empty()
        && (0..header.accounts.len()).all(is_read)
}

/// The id by which a connector can be changed, or why there is none.
fn address(connector: &Connector) -> Result<&str, String> {
    match connector.id.known() {
        None => Err("the connector has no ID, so it cannot be changed".to_owned()),
        Some(id) if !is_connector_id(id) => Err(format!(
            "its ID has {} characters, but the API takes IDs of 32: change it in the dashboard",
            id.chars().count()
        )),
        Some(id) => Ok(id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assess::Assessor;
    use crate::claims::KnownElsewhere;
    use crate::evidence::SharedDomains;
    use crate::memory::Earlier;
    use crate::policy::{AccountExpectation, FedrampExpectation, Policy};
    use crate::rules::testing::{Case, NOW};
    use serde_json::{Value, json};

    const ID: &str = "c0000000000000000000000000000001";
    const ALL: Allowed = Allowed {
        enable: true,
        disable: true,
    };

    /// What is made of a case once it is judged.
    fn judged<T>(case: Case, make: impl FnOnce(Assessed<'_>) -> T) -> T {
        let header = crate::evidence::testing::header(case.accounts.clone());
        let assessor = Assessor {
            header: &header,
            policy: &case.policy,
            shared_domains: &case.shared,
            now: NOW.parse().unwrap(),
            elsewhere: &KnownElsewhere::default(),
            compares: false,
        };
        make(assessor.assess(case.evidence, Earlier::default()))
    }

    fn planned(assessed: &Assessed<'_>, allowed: Allowed) -> Plan {
        let mut plan = Plan::default();
        let grounds = Grounds {
            allowed,
            every_account_was_read: true,
            dns_was_looked_up: false,
        };
        plan.add(assessed, grounds);
        plan.finish();
        plan
    }

    fn plan_of(case: Case, allowed: Allowed) -> Plan {
        judged(case, |assessed| planned(&assessed, allowed))
    }

    fn plan(connectors: Value, allowed: Allowed) -> Plan {
        plan_of(Case::read(connectors), allowed)
    }

    fn connector(enabled: bool, status: &str) -> Value {
        json!({"id": ID, "email_domain": "A.example.", "enabled": enabled, "use_fedramp_language": true, "updated_on": "2026-11-01T00:00:00Z",
               "verification": {"status": status, "code": "cloudflare_dashboard_sso=1"}})
    }

    fn read(value: Value) -> Connector {
        serde_json::from_value(value).unwrap()
    }

    fn actions(plan: &Plan) -> Vec<&'static str> {
        plan.steps.iter().map(|step| step.action.as_str()).collect()
    }

    fn reasons(plan: &Plan) -> Vec<(&'static str, &str)> {
        let manual = plan.manual.iter();
        manual
            .map(|left| (left.rule, left.reason.as_str()))
            .collect()
    }

    #[test]
    fn what_is_harmless_is_planned_and_what_is_not_needs_its_flag() {
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
            let bare = plan(connectors.clone(), Allowed::default());
            assert_eq!(actions(&bare), harmless, "{enabled} {status}");
            assert_eq!(
                actions(&plan(connectors, ALL)),
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
            let mut one = connector(true, "verified");
            one["use_fedramp_language"] = actual.into();
            let mut case = Case::read(json!([one]));
            case.policy = Policy {
                fedramp: expected,
                ..Policy::default()
            };
            assert_eq!(actions(&plan_of(case, Allowed::default())), planned);
        }
    }

    #[test]
    fn a_connector_that_a_person_must_decide_about_is_at_most_disabled() {
        let duplicate = |connectors: Value| {
            let mut case = Case::read(connectors);
            case.shared = SharedDomains::claimed_by("a.example", &[0, 1]);
            case
        };
        let unexpected = |connectors: Value| {
            let mut case = Case::read(connectors);
            let expectation = AccountExpectation {
                allow_domains: Some(["b.example"].into_iter().collect()),
                ..AccountExpectation::default()
            };
            let account = case.accounts[0].id.clone();
            case.policy.accounts.insert(account, expectation);
            case
        };
        let cases: [(&str, &dyn Fn(Value) -> Case); 2] = [
            ("duplicate-domain", &duplicate),
            ("unexpected-domain", &unexpected),
        ];
        for (rule, case) in cases {
            for (enabled, status, planned) in [
                (false, "verified", vec![]),
                (false, "failed", vec![]),
                (false, "pending", vec![]),
                (true, "failed", vec!["disable"]),
            ] {
                let mut case = case(json!([connector(enabled, status)]));
                case.policy.fedramp = FedrampExpectation::Forbidden;
                let plan = plan_of(case, ALL);
                assert_eq!(actions(&plan), planned, "{rule} {enabled} {status}");
                assert_eq!(plan.records, [], "{rule} {enabled} {status}");
                let reasons = reasons(&plan);
                let why = format!("first decide about the connector itself: see {rule}");
                assert!(
                    reasons.contains(&(rule, "needs a decision about the connector")),
                    "{reasons:?}"
                );
                assert!(reasons.contains(&("fedramp-language", why.as_str())));
            }
        }
    }

    #[test]
    fn what_no_step_fixes_is_said_with_the_reason() {
        let without = |key: &str, value: Value| {
            let mut one = connector(false, "failed");
            one[key] = value;
            plan(json!([one]), ALL)
        };
        assert_eq!(
            reasons(&without("id", Value::Null))[0],
            (
                "unverified-domain",
                "the connector has no ID, so it cannot be changed"
            )
        );
        for length in [31, 33] {
            let plan = without("id", "c".repeat(length).into());
            assert_eq!(actions(&plan), [""; 0]);
            let why = format!(
                "its ID has {length} characters, but the API takes IDs of 32: change it in the dashboard"
            );
            assert_eq!(
                reasons(&plan),
                [
                    ("unverified-domain", why.as_str()),
                    (
                        "disabled-connector",
                        "can be enabled once its domain is verified"
                    )
                ]
            );
        }
        assert_eq!(
            reasons(&without("email_domain", Value::Null))[0],
            ("unverified-domain", "its domain is unknown")
        );
        let mut pending = connector(true, "pending");
        pending["updated_on"] = NOW.into();
        let plan = plan(json!([pending]), ALL);
        assert!(reasons(&plan).contains(&(
            "unverified-domain",
            "verification is under way: publish the TXT record, and wait"
        )));
        assert_eq!(plan.records.len(), 1, "the record to publish is shown");
    }

    #[test]
    fn the_worst_come_first_and_a_connectors_steps_stay_together() {
        let with = |number: u32, fields: Value| {
            let mut one = connector(true, "verified");
            one["id"] = format!("c{number:031}").into();
            one["email_domain"] = format!("d{number}.example").into();
            for (key, value) in fields.as_object().unwrap() {
                one[key] = value.clone();
            }
            one
        };
        let plan = plan(
            json!([
                with(1, json!({"enabled": false})),
                with(
                    2,
                    json!({"enabled": false, "verification": {"status": "failed"}})
                ),
                with(3, json!({"verification": {"status": "awaiting"}})),
            ]),
            ALL,
        );
        let planned: Vec<_> = plan
            .steps
            .iter()
            .map(|step| format!("{} {}", step.action.as_str(), step.email_domain))
            .collect();
        assert_eq!(
            planned,
            [
                "disable d3.example",
                "begin-verification d3.example",
                "begin-verification d2.example",
                "enable d1.example",
            ]
        );
    }

    #[test]
    fn a_connector_that_is_listed_twice_is_changed_once() {
        let plan = plan(
            json!([connector(false, "failed"), connector(false, "failed")]),
            ALL,
        );
        assert_eq!(actions(&plan), ["begin-verification"]);
    }

    #[test]
    fn a_plan_of_many_connectors_takes_no_more_than_its_share_of_time() {
        const MANY: usize = 50_000;
        let case = Case::read(json!([connector(false, "failed")]));
        let (plan, took) = judged(case, |mut assessed| {
            let (one, findings) = (
                assessed.evidence.connectors.remove(0),
                assessed.findings.split_off(0),
            );
            for number in 0..MANY {
                let mut connector = one.clone();
                connector.id = crate::model::Field::Known(format!("{number:032}"));
                assessed.evidence.connectors.push(connector);
                assessed
                    .findings
                    .extend(findings.iter().cloned().map(|finding| Finding {
                        connector: Some(number),
                        ..finding
                    }));
            }
            let began = std::time::Instant::now();
            (planned(&assessed, ALL), began.elapsed())
        });
        assert_eq!(plan.steps.len(), MANY);
        // Looking through all findings for each of them takes minutes.
        assert!(took.as_secs() < 15, "{took:?}");
    }

    #[test]
    fn everything_that_changed_meanwhile_is_named() {
        let plan = plan(json!([connector(false, "failed")]), Allowed::default());
        let step = &plan.steps[0];
        let objection = |fields: Value| {
            let mut now = connector(false, "failed");
            for (key, value) in fields.as_object().unwrap() {
                now[key] = value.clone();
            }
            step.objection(&read(now), |_| false)
        };
        assert_eq!(objection(json!({})), None);
        assert_eq!(
            objection(json!({"email_domain": "a.EXAMPLE", "updated_on": null})),
            None
        );
        for (fields, said) in [
            (
                json!({"email_domain": "b.example"}),
                "its domain was a.example and is now b.example",
            ),
            (
                json!({"enabled": true}),
                "enabled was false and is now true",
            ),
            (
                json!({"use_fedramp_language": null}),
                "the FedRAMP text was true and is now unknown",
            ),
            (
                json!({"verification": {"status": "pending", "code": "other"}}),
                "its status was failed and is now pending; its verification code was cloudflare_dashboard_sso=1 and is now other",
            ),
        ] {
            assert_eq!(objection(fields).unwrap(), said);
        }
    }

    #[test]
    fn what_earlier_steps_changed_is_expected() {
        let plan = plan(json!([connector(true, "failed")]), ALL);
        assert_eq!(actions(&plan), ["disable", "begin-verification"]);
        let step = &plan.steps[1];
        let now = read(connector(false, "failed"));
        let disabled = |action| action == Action::Disable;
        assert_eq!(step.objection(&now, disabled), None);
        assert!(step.objection(&now, |_| false).is_some());
        let now = read(connector(false, "verified"));
        assert_eq!(
            step.objection(&now, disabled).unwrap(),
            "its status was failed and is now verified"
        );
    }

    #[test]
    fn a_step_is_seen_to_be_done_where_only_it_can_have_done_it() {
        let step = |enabled, status| {
            plan(json!([connector(enabled, status)]), ALL)
                .steps
                .remove(0)
        };
        let begin = step(false, "failed");
        for (status, done) in [("pending", true), ("verified", true), ("failed", false)] {
            assert_eq!(
                begin.is_done_on(&read(connector(false, status))),
                done,
                "{status}"
            );
        }
        // It was pending for too long, and still is: nothing shows that it was begun again.
        assert!(!step(false, "pending").is_done_on(&read(connector(false, "pending"))));
        let enable = step(false, "verified");
        assert!(enable.is_done_on(&read(connector(true, "verified"))));
        assert!(!enable.is_done_on(&read(connector(false, "verified"))));
    }
}
