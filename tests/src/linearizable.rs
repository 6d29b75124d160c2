//! Whether the recorded calls on one item could have happened one after the other, each at one moment between its begin
//! and its end.
//!
//! Linearizability is local: a history of many items is linearizable exactly if each item's is, so items are checked one
//! by one. The search is Wing and Gong's, with Lowe's memory of what was tried: which calls have been placed, and what the
//! item is then.
//!
//! Sources: Wing and Gong, "Testing and verifying concurrent objects" (1993); Lowe, "Testing for linearizability" (2017).

use std::collections::HashSet;

/// The most states (placed calls, item) that are remembered before the search gives up.
pub const STATES_MAX: usize = 2_000_000;

/// What an item is: a value, or not there.
pub type State = Option<u64>;

/// What a call did and saw. What is `None` was not seen: the answer never came, or does not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Read the item.
    Read(State),
    /// Put a value in its place, or deleted it.
    Write {
        /// What it became.
        to: State,
        /// What it was.
        from: Option<State>,
    },
    /// Put a value in its place if it was as expected.
    Swap {
        /// What was expected.
        expected: State,
        /// What it was to become.
        to: State,
        /// Whether it was as expected.
        done: Option<bool>,
        /// What it was otherwise.
        found: Option<State>,
    },
    /// Added one; what is not there counts as zero.
    Increment {
        /// The sum.
        to: Option<u64>,
    },
}

/// A call on an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// What it did and saw.
    pub operation: Operation,
    /// When it began, in any unit that grows.
    pub begin: u64,
    /// When it ended; `None` if its answer never came: then it may take place at any later time, or never. It has seen
    /// nothing, so a read without an answer is left out of a history.
    pub end: Option<u64>,
}

/// Why there is no order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is one.
    Linearizable,
    /// There is none; the call that no order explains, as far as the search came.
    Not(Call),
    /// The search passed [`STATES_MAX`].
    Undecided,
}

/// Searches an order of the calls on one item, which is `first` before all of them.
pub fn check(first: State, calls: &[Call]) -> Verdict {
    let mut events = Events::of(calls);
    let mut placed = Placed::new(calls.len());
    let mut tried: HashSet<(Placed, State)> = HashSet::new();
    let mut path: Vec<(usize, State)> = Vec::new();
    let mut state = first;
    let mut furthest: Option<(u64, Call)> = None;
    let mut at = events.first();
    while let Some(event) = at {
        let call = events.call(event);
        if !events.is_end(event) {
            let next = step(state, calls[call].operation);
            if let Some(next) = next {
                placed.set(call, true);
                if tried.insert((placed.clone(), next)) {
                    if tried.len() > STATES_MAX {
                        return Verdict::Undecided;
                    }
                    path.push((call, state));
                    state = next;
                    events.take_out(call);
                    at = events.first();
                    continue;
                }
                placed.set(call, false);
            }
            at = events.after(event);
            continue;
        }
        // This call ended and could not be placed: one that was placed before has to be taken back.
        let end = calls[call].end.unwrap_or(u64::MAX);
        if furthest.is_none_or(|(known, _)| known < end) {
            furthest = Some((end, calls[call]));
        }
        let Some((last, before)) = path.pop() else {
            return Verdict::Not(furthest.map_or(calls[call], |(_, call)| call));
        };
        placed.set(last, false);
        events.put_back(last);
        state = before;
        at = events.after(events.begin_of(last));
    }
    Verdict::Linearizable
}

/// The item after the operation; `None` if the operation cannot have seen what it saw.
fn step(state: State, operation: Operation) -> Option<State> {
    let agrees = |seen: Option<State>| seen.is_none_or(|seen| seen == state);
    match operation {
        Operation::Read(seen) => (seen == state).then_some(state),
        Operation::Write { to, from } => agrees(from).then_some(to),
        Operation::Swap {
            expected,
            to,
            done,
            found,
        } => {
            let does = state == expected;
            let fits = done.is_none_or(|done| done == does) && (does || agrees(found));
            fits.then_some(if does { to } else { state })
        }
        Operation::Increment { to } => {
            let sum = state.unwrap_or(0) + 1;
            to.is_none_or(|to| to == sum).then_some(Some(sum))
        }
    }
}

/// Which calls are placed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Placed(Box<[u64]>);

impl Placed {
    fn new(calls: usize) -> Self {
        Self(vec![0; calls.div_ceil(64)].into())
    }

    fn set(&mut self, call: usize, placed: bool) {
        let bit = 1 << (call % 64);
        if placed {
            self.0[call / 64] |= bit;
        } else {
            self.0[call / 64] &= !bit;
        }
    }
}

/// Begins and ends in the order of time, as a list from which calls are taken and to which they come back. Event 2c is the
/// begin of call c, 2c + 1 its end.
struct Events {
    /// Behind each event; the last place is the list's head.
    next: Vec<Option<usize>>,
    previous: Vec<usize>,
}

impl Events {
    fn of(calls: &[Call]) -> Self {
        let mut order: Vec<(u64, usize)> = Vec::with_capacity(2 * calls.len());
        for (number, call) in calls.iter().enumerate() {
            order.push((call.begin, 2 * number));
            order.push((call.end.unwrap_or(u64::MAX), 2 * number + 1));
        }
        order.sort_unstable();
        let head = 2 * calls.len();
        let mut events = Self {
            next: vec![None; head + 1],
            previous: vec![head; head + 1],
        };
        let mut last = head;
        for (_, event) in order {
            events.next[last] = Some(event);
            events.previous[event] = last;
            last = event;
        }
        events
    }

    fn first(&self) -> Option<usize> {
        self.next[self.next.len() - 1]
    }

    fn after(&self, event: usize) -> Option<usize> {
        self.next[event]
    }

    fn call(&self, event: usize) -> usize {
        event / 2
    }

    fn is_end(&self, event: usize) -> bool {
        event % 2 == 1
    }

    fn begin_of(&self, call: usize) -> usize {
        2 * call
    }

    fn take_out(&mut self, call: usize) {
        for event in [2 * call, 2 * call + 1] {
            let (previous, next) = (self.previous[event], self.next[event]);
            self.next[previous] = next;
            if let Some(next) = next {
                self.previous[next] = previous;
            }
        }
    }

    /// The last call taken out must come back first.
    fn put_back(&mut self, call: usize) {
        for event in [2 * call + 1, 2 * call] {
            let (previous, next) = (self.previous[event], self.next[event]);
            self.next[previous] = Some(event);
            if let Some(next) = next {
                self.previous[next] = event;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn call(operation: Operation, begin: u64, end: u64) -> Call {
        Call {
            operation,
            begin,
            end: Some(end),
        }
    }

    const fn write(to: u64, begin: u64, end: u64) -> Call {
        let operation = Operation::Write {
            to: Some(to),
            from: None,
        };
        call(operation, begin, end)
    }

    const fn read(seen: u64, begin: u64, end: u64) -> Call {
        call(Operation::Read(Some(seen)), begin, end)
    }

    const fn lost(call: Call) -> Call {
        Call { end: None, ..call }
    }

    fn check_all(calls: &[Call], holds: bool) {
        let verdict = check(None, calls);
        assert_eq!(verdict == Verdict::Linearizable, holds, "{calls:?}: {verdict:?}");
        // The order in which the calls are listed does not matter.
        let reversed: Vec<_> = calls.iter().rev().copied().collect();
        assert_eq!(check(None, &reversed) == Verdict::Linearizable, holds, "{reversed:?}");
    }

    #[test]
    fn registers() {
        check_all(&[], true);
        check_all(&[call(Operation::Read(None), 1, 2)], true);
        check_all(&[read(1, 1, 2)], false);
        check_all(&[write(1, 1, 2), read(1, 3, 4)], true);
        check_all(&[write(1, 1, 2), write(2, 3, 4), read(1, 5, 6)], false);
        // While a write goes on, either value may be read; but not the old one after the new one.
        check_all(&[write(1, 1, 2), write(2, 3, 9), read(1, 4, 5), read(2, 6, 7)], true);
        check_all(&[write(1, 1, 2), write(2, 3, 9), read(2, 4, 5), read(1, 6, 7)], false);
        // A read ends before the write that it saw begins.
        check_all(&[read(1, 1, 2), write(1, 3, 4)], false);
    }

    #[test]
    fn lost_answers() {
        // It took place, or not, or later.
        check_all(&[write(1, 1, 2), lost(write(2, 3, 0)), read(1, 4, 5)], true);
        check_all(&[write(1, 1, 2), lost(write(2, 3, 0)), read(2, 4, 5)], true);
        check_all(
            &[write(1, 1, 2), lost(write(2, 3, 0)), read(1, 4, 5), read(2, 6, 7)],
            true,
        );
        // But not twice, and not before it began.
        check_all(
            &[write(1, 1, 2), lost(write(2, 3, 0)), read(2, 4, 5), read(1, 6, 7)],
            false,
        );
        check_all(&[read(2, 1, 2), lost(write(2, 3, 0))], false);
    }

    #[test]
    fn conditions_and_sums() {
        let swap = |expected: State, to: u64, done: bool, found: Option<State>, begin: u64, end: u64| {
            let operation = Operation::Swap {
                expected,
                to: Some(to),
                done: Some(done),
                found,
            };
            call(operation, begin, end)
        };
        check_all(
            &[swap(None, 1, true, None, 1, 5), swap(None, 2, true, None, 2, 4)],
            false,
        );
        check_all(
            &[swap(None, 1, true, None, 1, 5), swap(None, 2, false, None, 2, 4)],
            true,
        );
        check_all(
            &[
                swap(None, 1, true, None, 1, 5),
                swap(None, 2, false, Some(Some(3)), 2, 4),
            ],
            false,
        );
        check_all(
            &[swap(None, 1, true, None, 1, 5), swap(Some(1), 2, true, None, 2, 4)],
            true,
        );
        let add = |to: u64, begin: u64, end: u64| call(Operation::Increment { to: Some(to) }, begin, end);
        check_all(&[add(1, 1, 9), add(2, 2, 8), add(3, 3, 7)], true);
        check_all(&[add(1, 1, 9), add(2, 2, 8), add(2, 3, 7)], false);
        check_all(&[add(2, 1, 2), add(1, 3, 4)], false);
    }

    /// Against the definition itself: of every short history, all orders are tried.
    #[test]
    fn short_histories_are_judged_as_by_trying_every_order() {
        let mut random = 1_u64;
        let mut next = |below: u64| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % below
        };
        let mut found = [0; 2];
        for _ in 0..20_000 {
            let calls: Vec<Call> = (0..1 + next(5))
                .map(|_| {
                    let value = (next(3) > 0).then_some(next(3));
                    let answered = next(8) > 0;
                    let operation = match next(if answered { 4 } else { 2 }) {
                        0 => Operation::Write { to: value, from: None },
                        1 => Operation::Increment {
                            to: value.filter(|_| answered),
                        },
                        2 => Operation::Swap {
                            expected: value,
                            to: Some(next(3)),
                            done: (next(2) > 0).then_some(next(2) > 0),
                            found: None,
                        },
                        _ => Operation::Read(value),
                    };
                    let begin = next(20);
                    Call {
                        operation,
                        begin: 2 * begin,
                        end: answered.then_some(2 * (begin + next(8)) + 1),
                    }
                })
                .collect();
            let holds = check(None, &calls) == Verdict::Linearizable;
            assert_eq!(holds, some_order(None, &mut Vec::new(), &calls), "{calls:?}");
            found[usize::from(holds)] += 1;
        }
        assert!(found.iter().all(|count| *count > 2_000), "{found:?}");
    }

    /// Whether some order goes on from these calls.
    fn some_order(state: State, done: &mut Vec<usize>, calls: &[Call]) -> bool {
        let left: Vec<usize> = (0..calls.len()).filter(|number| !done.contains(number)).collect();
        if left.iter().all(|number| calls[*number].end.is_none()) {
            return true;
        }
        left.iter().any(|number| {
            let call = calls[*number];
            let before = |other: &usize| calls[*other].end.is_some_and(|end| end < call.begin);
            if left.iter().any(before) {
                return false;
            }
            let Some(next) = step(state, call.operation) else {
                return false;
            };
            done.push(*number);
            let found = some_order(next, done, calls);
            done.pop();
            found
        })
    }
}
