//! Runs in one folder, a day apart, of accounts that change between them.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    Gate, Program, Reply, Request, Server, audit_in, enveloped, forbidden, id, shared_dir, success,
};

/// Accounts with their lists of connectors. Null stands for an account that the token may not read, an object for one
/// that is answered the list `part` as a part of nine.
pub type Accounts = Vec<(String, Value)>;

/// Accounts that change from night to night, in one folder of reports.
pub struct Nights {
    /// The folder that the runs share.
    pub dir: Rc<TempDir>,
    /// What they ask.
    pub server: Server,
    /// The list of each account.
    pub world: Arc<Mutex<BTreeMap<String, Value>>>,
    held: Arc<Mutex<BTreeMap<String, Gate>>>,
}

impl Nights {
    /// A folder without a run; a server that knows no account yet.
    pub fn new() -> Self {
        let nights = Self {
            dir: shared_dir(),
            server: Server::of(Vec::new()),
            world: Arc::default(),
            held: Arc::default(),
        };
        nights.serve();
        nights
    }

    /// The same with accounts, by their numbers.
    pub fn of(accounts: &[(usize, Value)]) -> Self {
        let nights = Self::new();
        for (number, list) in accounts {
            nights.set(*number, list.clone());
        }
        nights
    }

    /// Answers from the accounts as they are, and forgets the requests so far.
    pub fn serve(&self) {
        let (world, held) = (Arc::clone(&self.world), Arc::clone(&self.held));
        self.server.now(move |request| {
            let gate = held.lock().unwrap().remove(request.account());
            if let Some(gate) = gate {
                gate.wait();
            }
            answer_from(&world.lock().unwrap(), request)
        });
    }

    /// An account has this list from now on.
    pub fn set(&self, number: usize, list: Value) {
        self.world.lock().unwrap().insert(id(number), list);
    }

    /// An account is gone from now on; the list that it had.
    pub fn remove(&self, number: usize) -> Value {
        self.world.lock().unwrap().remove(&id(number)).unwrap()
    }

    /// The next answer for an account, and only that one, waits until the gate is opened.
    pub fn hold(&self, number: usize) -> Gate {
        let gate = Gate::default();
        self.held.lock().unwrap().insert(id(number), gate.clone());
        gate
    }

    /// An audit on a day, of no account yet.
    pub fn bare(&self, day: i64) -> Program {
        audit_in(&self.dir, &self.server).on_day(day)
    }

    /// An audit on a day of all accounts there are, named in a file.
    pub fn night(&self, day: i64) -> Program {
        let world = self.world.lock().unwrap();
        let ids: Vec<_> = world.keys().cloned().collect();
        self.bare(day).accounts_file("accounts.txt", ids.join("\n"))
    }

    /// An audit on a day of these accounts, named in a file in this order. There are no others from now on.
    pub fn day(&self, day: i64, accounts: Accounts) -> Program {
        let ids: Vec<_> = accounts.iter().map(|(id, _)| id.clone()).collect();
        *self.world.lock().unwrap() = accounts.into_iter().collect();
        self.serve();
        self.bare(day).accounts_file("accounts.txt", ids.join("\n"))
    }

    /// An audit on a day of one account alone, named on the command line. There are no others from now on.
    pub fn one(&self, day: i64, account: String, connectors: Value) -> Program {
        *self.world.lock().unwrap() = [(account.clone(), connectors)].into();
        self.serve();
        self.bare(day).arg(account)
    }
}

fn answer_from(world: &BTreeMap<String, Value>, request: &Request) -> Reply {
    let account = request.account();
    if account.is_empty() {
        let accounts: Vec<_> = world.keys().map(|id| json!({"id": id})).collect();
        let total = accounts.len();
        return enveloped(accounts.into(), json!({"total_count": total}));
    }
    match world.get(account) {
        Some(Value::Null) | None => forbidden(),
        Some(Value::Object(part)) => enveloped(part["part"].clone(), json!({"total_count": 9})),
        Some(connectors) => success(connectors.clone()),
    }
}
