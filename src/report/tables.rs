//! What the formats share that have every table: rows wait by table, the findings by their severity too.

use std::io;

use super::FormatWorker;
use super::columns::{
    ACCOUNTS, AccountRow, CHANGES, ChangeRow, ConnectorRow, FINDINGS, FindingRow, Kind,
    OfConnector, Table,
};
use crate::severity::Severity;

/// Rows of one table that wait for their turn.
pub trait Rows {
    /// Adds a row.
    ///
    /// # Errors
    /// It cannot be rendered.
    fn push<K: Kind>(&mut self, table: &Table<K>, row: &K::Row<'_>) -> io::Result<()>;

    /// How much waits, in bytes.
    fn waiting(&self) -> usize;
}

/// A format that has every table, at work.
pub trait Tables {
    /// Its rows.
    type Rows: Rows;

    /// Room for rows.
    fn rows(&self) -> Self::Rows;

    /// The tables of connectors that it has.
    fn connector_tables(&self) -> &'static [&'static Table<OfConnector>];

    /// Takes what waits, and leaves nothing.
    ///
    /// # Errors
    /// A file cannot be written.
    fn take(&self, waiting: &mut Waiting<Self::Rows>) -> io::Result<()>;
}

/// What waits of all tables.
pub struct Waiting<R> {
    /// In the order of the tables of connectors.
    pub connectors: Vec<R>,
    /// Of accounts.
    pub accounts: R,
    /// Of changes.
    pub changes: R,
    /// Of findings, by severity: they stand worst first.
    pub findings: [R; Severity::ALL.len()],
}

/// Renders the rows of a chunk of accounts.
pub struct Worker<'f, T: Tables> {
    format: &'f T,
    waiting: Waiting<T::Rows>,
}

impl<'f, T: Tables> Worker<'f, T> {
    /// For a format.
    pub fn of(format: &'f T) -> Self {
        let tables = format.connector_tables().iter();
        Self {
            format,
            waiting: Waiting {
                connectors: tables.map(|_| format.rows()).collect(),
                accounts: format.rows(),
                changes: format.rows(),
                findings: std::array::from_fn(|_| format.rows()),
            },
        }
    }
}

impl<T: Tables> FormatWorker for Worker<'_, T> {
    fn account(&mut self, row: &AccountRow<'_>) -> io::Result<()> {
        self.waiting.accounts.push(&ACCOUNTS, row)
    }

    fn connector(&mut self, row: &ConnectorRow<'_>) -> io::Result<()> {
        let tables = self.format.connector_tables().iter();
        for (table, rows) in tables.zip(&mut self.waiting.connectors) {
            if (table.admits)(row) {
                rows.push(table, row)?;
            }
        }
        Ok(())
    }

    fn finding(&mut self, row: &FindingRow<'_>) -> io::Result<()> {
        self.waiting.findings[row.finding.severity as usize].push(&FINDINGS, row)
    }

    fn change(&mut self, row: &ChangeRow<'_>) -> io::Result<()> {
        self.waiting.changes.push(&CHANGES, row)
    }

    fn waiting(&self) -> usize {
        let Waiting {
            connectors,
            accounts,
            changes,
            findings,
        } = &self.waiting;
        let single = [accounts, changes];
        let all = connectors.iter().chain(findings).chain(single);
        all.map(Rows::waiting).sum()
    }

    fn hand_on(&mut self) -> io::Result<()> {
        self.format.take(&mut self.waiting)
    }
}
