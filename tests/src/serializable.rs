//! Whether recorded transactions could have happened one after the other, in an order that keeps to real time.
//!
//! Items hold lists, and a write appends a value that is written only once. So a list that was read tells which write it
//! came from and in which order the writes before it took place, and what depends on what is known for certain: a
//! transaction that read a list comes after the one that appended its last value (wr), before the one that appended the
//! next value (rw), and appends come in the order of the list (ww). Besides, what ended before another began comes before
//! it (rt). The history is strictly serializable exactly if these have no cycle, and each list that was read is a beginning
//! of the list there is in the end.
//!
//! Source: Kingsbury and Alvaro, "Elle: inferring isolation anomalies from experimental observations" (2020).

use std::collections::BTreeMap;

/// An item, by number.
pub type Item = usize;

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered with success.
    Committed,
    /// It was refused: nothing of it may be seen.
    Cancelled,
    /// Its answer never came: it may have been committed, or not, but not in part.
    Unknown,
}

/// What a client did at once: a transaction, or a single write or read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// When it began, in any unit that grows.
    pub begin: u64,
    /// When its answer came.
    pub end: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// The lists that it read, as they were before its own appends.
    pub reads: Vec<(Item, Vec<u64>)>,
    /// The values that it appended.
    pub appends: Vec<(Item, u64)>,
}

/// What no order explains. Numbers are places in the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A value stands in an item's list twice, or nobody appended it there.
    Stray(Item, u64),
    /// A list that was read is not how the list in the end begins.
    NotABeginning(usize, Item),
    /// An append was committed and is not in the list.
    Lost(usize, Item),
    /// An append was refused and is in the list.
    Undead(usize, Item),
    /// Of a transaction without an answer, some appends are there and others are not.
    Partial(usize),
    /// Each comes before the next, for the reason given, and the last before the first.
    Cycle(Vec<(usize, &'static str)>),
}

/// Judges a history; `last` is what the items' lists are in the end.
pub fn check(history: &[Transaction], last: &BTreeMap<Item, Vec<u64>>) -> Result<(), Violation> {
    let writers = writers(history, last)?;
    let mut graph = Graph::new(history.len());
    for (item, list) in last {
        for two in list.windows(2) {
            graph.before(writers[&(*item, two[0])], writers[&(*item, two[1])], "ww");
        }
    }
    for (number, transaction) in history.iter().enumerate() {
        if transaction.outcome != Outcome::Committed {
            continue;
        }
        for (item, seen) in &transaction.reads {
            let list = last.get(item).map(Vec::as_slice).unwrap_or_default();
            if !list.starts_with(seen) {
                return Err(Violation::NotABeginning(number, *item));
            }
            if let Some(value) = seen.last() {
                graph.before(writers[&(*item, *value)], number, "wr");
            }
            if let Some(value) = list.get(seen.len()) {
                graph.before(number, writers[&(*item, *value)], "rw");
            }
        }
    }
    graph.real_time(history);
    graph.cycle().map_or(Ok(()), |cycle| Err(Violation::Cycle(cycle)))
}

/// Who appended each value; what is there and what is not must be as the answers said.
fn writers(
    history: &[Transaction],
    last: &BTreeMap<Item, Vec<u64>>,
) -> Result<BTreeMap<(Item, u64), usize>, Violation> {
    let mut writers = BTreeMap::new();
    for (number, transaction) in history.iter().enumerate() {
        for append in &transaction.appends {
            writers.insert(*append, number);
        }
    }
    let mut there = BTreeMap::new();
    for (item, list) in last {
        for value in list {
            let first = there.insert((*item, *value), ()).is_none();
            if !first || !writers.contains_key(&(*item, *value)) {
                return Err(Violation::Stray(*item, *value));
            }
        }
    }
    for (number, transaction) in history.iter().enumerate() {
        let mut found = 0;
        for append in &transaction.appends {
            let is_there = there.contains_key(append);
            found += usize::from(is_there);
            match transaction.outcome {
                Outcome::Committed if !is_there => return Err(Violation::Lost(number, append.0)),
                Outcome::Cancelled if is_there => return Err(Violation::Undead(number, append.0)),
                _ => {}
            }
        }
        if found != 0 && found != transaction.appends.len() {
            return Err(Violation::Partial(number));
        }
    }
    Ok(writers)
}

/// What comes before what. The first nodes are the transactions, the others moments.
struct Graph {
    transactions: usize,
    after: Vec<Vec<(usize, &'static str)>>,
}

impl Graph {
    fn new(transactions: usize) -> Self {
        Self {
            transactions,
            after: vec![Vec::new(); transactions],
        }
    }

    fn before(&mut self, first: usize, second: usize, why: &'static str) {
        if first != second {
            self.after[first].push((second, why));
        }
    }

    /// Each end is a moment; a transaction comes before its end's moment, each moment before the next, and the last moment
    /// before a transaction's begin comes before it. So the edges are as many as the transactions.
    fn real_time(&mut self, history: &[Transaction]) {
        let known = |transaction: &Transaction| transaction.outcome == Outcome::Committed;
        let mut ends: Vec<(u64, usize)> = Vec::new();
        for (number, transaction) in history.iter().enumerate().filter(|(_, one)| known(one)) {
            ends.push((transaction.end, number));
        }
        ends.sort_unstable();
        let moments = self.after.len();
        for (at, (_, number)) in ends.iter().enumerate() {
            self.after.push(Vec::new());
            self.before(*number, moments + at, "rt");
            if at > 0 {
                self.before(moments + at - 1, moments + at, "rt");
            }
        }
        // Also one without an answer cannot take place before it began.
        for (number, transaction) in history.iter().enumerate() {
            let ended = ends.partition_point(|(end, _)| *end < transaction.begin);
            if ended > 0 {
                self.before(moments + ended - 1, number, "rt");
            }
        }
    }

    /// A cycle, if there is one: the transactions on it, each with why it comes before the next.
    fn cycle(&self) -> Option<Vec<(usize, &'static str)>> {
        #[derive(Clone, Copy, PartialEq)]
        enum Seen {
            Not,
            OnPath,
            Done,
        }
        let mut seen = vec![Seen::Not; self.after.len()];
        for start in 0..self.after.len() {
            if seen[start] != Seen::Not {
                continue;
            }
            // A node, and which of its edges comes next.
            let mut path = vec![(start, 0)];
            seen[start] = Seen::OnPath;
            while let Some((node, edge)) = path.last_mut() {
                let Some((to, _)) = self.after[*node].get(*edge) else {
                    seen[*node] = Seen::Done;
                    path.pop();
                    continue;
                };
                *edge += 1;
                match seen[*to] {
                    Seen::Done => {}
                    Seen::Not => {
                        seen[*to] = Seen::OnPath;
                        path.push((*to, 0));
                    }
                    Seen::OnPath => {
                        let from = path.iter().position(|(node, _)| node == to).unwrap_or(0);
                        let why = |(node, edge): &(usize, usize)| (*node, self.after[*node][*edge - 1].1);
                        let cycle = path[from..].iter().map(why);
                        return Some(cycle.filter(|(node, _)| *node < self.transactions).collect());
                    }
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transaction(begin: u64, end: u64, reads: &[(Item, &[u64])], appends: &[(Item, u64)]) -> Transaction {
        Transaction {
            begin,
            end,
            outcome: Outcome::Committed,
            reads: reads.iter().map(|(item, list)| (*item, list.to_vec())).collect(),
            appends: appends.to_vec(),
        }
    }

    fn ended(mut transaction: Transaction, outcome: Outcome) -> Transaction {
        transaction.outcome = outcome;
        transaction
    }

    fn lists(last: &[(Item, &[u64])]) -> BTreeMap<Item, Vec<u64>> {
        last.iter().map(|(item, list)| (*item, list.to_vec())).collect()
    }

    #[test]
    fn what_could_have_happened() {
        let last = lists(&[(1, &[1, 2]), (2, &[1])]);
        let history = [
            transaction(1, 9, &[], &[(1, 1), (2, 1)]),
            transaction(2, 8, &[(1, &[1]), (2, &[1])], &[(1, 2)]),
            transaction(3, 7, &[(1, &[]), (2, &[])], &[]),
            ended(transaction(3, 7, &[], &[(1, 3)]), Outcome::Cancelled),
            ended(transaction(3, 7, &[], &[(1, 4), (2, 4)]), Outcome::Unknown),
            transaction(10, 11, &[(1, &[1, 2])], &[]),
        ];
        assert_eq!(check(&history, &last), Ok(()));
        assert_eq!(check(&[], &lists(&[])), Ok(()));
    }

    #[test]
    fn what_answers_do_not_allow() {
        let append = transaction(1, 2, &[], &[(1, 1), (2, 1)]);
        let cases = [
            (append.clone(), lists(&[(1, &[1])]), Violation::Lost(0, 2)),
            (
                append.clone(),
                lists(&[(1, &[1, 1]), (2, &[1])]),
                Violation::Stray(1, 1),
            ),
            (
                append.clone(),
                lists(&[(1, &[1, 7]), (2, &[1])]),
                Violation::Stray(1, 7),
            ),
            (
                ended(append.clone(), Outcome::Cancelled),
                lists(&[(1, &[1]), (2, &[1])]),
                Violation::Undead(0, 1),
            ),
            (
                ended(append, Outcome::Unknown),
                lists(&[(2, &[1])]),
                Violation::Partial(0),
            ),
            (
                transaction(1, 2, &[(1, &[1])], &[]),
                lists(&[]),
                Violation::NotABeginning(0, 1),
            ),
        ];
        for (one, last, violation) in cases {
            assert_eq!(check(&[one], &last), Err(violation));
        }
    }

    #[test]
    fn cycles() {
        // Each: a history, the lists in the end, the reasons around the cycle.
        let cases: Vec<(Vec<Transaction>, _, Vec<&str>)> = vec![
            (
                // A fractured read: one of two writes is seen, the other is not.
                vec![
                    transaction(1, 9, &[], &[(1, 1), (2, 1)]),
                    transaction(2, 8, &[(1, &[1]), (2, &[])], &[]),
                ],
                lists(&[(1, &[1]), (2, &[1])]),
                vec!["rw", "wr"],
            ),
            (
                // Write skew: each reads what the other has not written yet.
                vec![
                    transaction(1, 9, &[(1, &[])], &[(2, 2)]),
                    transaction(1, 9, &[(2, &[])], &[(1, 1)]),
                ],
                lists(&[(1, &[1]), (2, &[2])]),
                vec!["rw", "rw"],
            ),
            (
                // Appends in two orders.
                vec![
                    transaction(1, 9, &[], &[(1, 1), (2, 1)]),
                    transaction(1, 9, &[], &[(1, 2), (2, 2)]),
                ],
                lists(&[(1, &[1, 2]), (2, &[2, 1])]),
                vec!["ww", "ww"],
            ),
            (
                // A stale read.
                vec![transaction(1, 2, &[], &[(1, 1)]), transaction(3, 4, &[(1, &[])], &[])],
                lists(&[(1, &[1])]),
                vec!["rt", "rw"],
            ),
            (
                // A lost update: both read the same list before they appended.
                vec![
                    transaction(1, 9, &[(1, &[])], &[(1, 1)]),
                    transaction(1, 9, &[(1, &[])], &[(1, 2)]),
                ],
                lists(&[(1, &[1, 2])]),
                vec!["rw", "ww"],
            ),
            (
                // Seen before it began.
                vec![
                    transaction(1, 2, &[(1, &[1])], &[]),
                    ended(transaction(3, 4, &[], &[(1, 1)]), Outcome::Unknown),
                ],
                lists(&[(1, &[1])]),
                vec!["rt", "wr"],
            ),
        ];
        for (history, last, reasons) in cases {
            let Err(Violation::Cycle(cycle)) = check(&history, &last) else {
                panic!("no cycle: {history:?}");
            };
            let mut found: Vec<_> = cycle.iter().map(|(_, why)| *why).collect();
            found.sort_unstable();
            assert_eq!(found, reasons, "{cycle:?}");
        }
    }
}
