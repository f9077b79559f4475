//! The TXT records that are to be added, for a zone file or for a DNS tool.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::accounts::AskedAccount;
use crate::dns::DnsTxt;
use crate::evidence::AccountEvidence;
use crate::fix::{Record, unpublishable, zone_snippet};
use crate::model::Connector;

/// What whoever publishes them has to know.
const WARNING: &str = "Add these records to the ones the domains already have: a domain's TXT records also serve SPF, other verifications and more. Do not replace any of these.";

/// A record, with the accounts that it is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DnsRecord {
    /// The domain that has it.
    pub name: String,
    /// `TXT`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Seconds.
    pub ttl: u32,
    /// The whole value; a tool splits it into strings of 255 bytes by itself.
    pub value: String,
    /// The accounts whose connectors it verifies.
    pub account_ids: BTreeSet<String>,
}

/// The records of a run: those of connectors that are not verified, each once, by domain.
#[derive(Debug, Clone, Default)]
pub struct Records(BTreeMap<Record, BTreeSet<String>>);

/// What is written for programs.
#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    run_id: &'a str,
    warning: &'static str,
    records: Vec<DnsRecord>,
    left_out: Vec<LeftOut>,
}

#[derive(Serialize)]
struct LeftOut {
    name: String,
    reason: &'static str,
}

impl Records {
    /// Adds those of an account.
    pub fn add(&mut self, asked: &AskedAccount, evidence: &AccountEvidence) {
        let is_to_be_added = |connector: &&Connector| {
            // Where DNS was looked up: what is published is there, and what has no domain cannot be.
            let in_dns = connector.dns_txt();
            !connector.is_verified() && !matches!(in_dns, Some(DnsTxt::Match | DnsTxt::NxDomain))
        };
        let unverified = evidence.connectors.iter().filter(is_to_be_added);
        for record in unverified.filter_map(Record::of) {
            self.0.entry(record).or_default().insert(asked.id.clone());
        }
    }

    /// As a snippet of a zone file.
    pub fn zone(&self, run_id: &str) -> String {
        let records: Vec<_> = self.0.keys().cloned().collect();
        format!(
            "; TXT records to add, from run {}\n; {WARNING}\n{}",
            run_id.escape_default(),
            zone_snippet(&records)
        )
    }

    /// For programs.
    ///
    /// # Errors
    /// None that is known: nothing in it has a shape that JSON does not know.
    pub fn json(&self, run_id: &str) -> serde_json::Result<serde_json::Value> {
        let mut document = Document {
            schema: "cf-sso-audit/dns/v1",
            run_id,
            warning: WARNING,
            records: Vec::new(),
            left_out: Vec::new(),
        };
        for (record, account_ids) in &self.0 {
            match unpublishable(record) {
                Some(reason) => document.left_out.push(LeftOut {
                    name: record.name.clone(),
                    reason,
                }),
                None => document.records.push(DnsRecord {
                    name: record.name.clone(),
                    kind: "TXT",
                    ttl: crate::fix::TTL,
                    value: record.value.clone(),
                    account_ids: account_ids.clone(),
                }),
            }
        }
        serde_json::to_value(document)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{ErrorKind, Outcome, ReadError};
    use serde_json::json;

    #[test]
    fn each_record_of_an_unverified_connector_is_there_once() {
        let of = |domain: &str, status: &str| json!({"email_domain": domain, "verification": {"status": status, "code": "code=1"}});
        let mut records = Records::default();
        for account in ["a1", "a2"] {
            let mut evidence = AccountEvidence::unread(0, ReadError::new(ErrorKind::Api, ""));
            evidence.outcome = Outcome::Read;
            let connectors = json!([
                of("b.example", "pending"),
                of("A.example.", "failed"),
                of("c.example", "verified"),
                of("bad name", "failed")
            ]);
            evidence.connectors = serde_json::from_value(connectors).unwrap();
            records.add(&AskedAccount::new(account, ""), &evidence);
        }
        let zone = records.zone("20261121T101500Z");
        let lines: Vec<_> = zone.lines().collect();
        assert!(
            lines[0].starts_with("; TXT records to add") && lines[1].contains("Do not replace any")
        );
        assert_eq!(
            lines[2..],
            [
                "a.example. 300 IN TXT \"code=1\"",
                "b.example. 300 IN TXT \"code=1\"",
                "; left out: \"bad name\": it is not a domain name",
            ]
        );
        let json = records.json("20261121T101500Z").unwrap();
        assert_eq!(
            json["records"][0],
            json!({"name": "a.example", "type": "TXT", "ttl": 300, "value": "code=1", "account_ids": ["a1", "a2"]})
        );
        assert_eq!(json["records"].as_array().unwrap().len(), 2);
        assert_eq!(json["left_out"][0]["name"], "bad name");
    }
}
