//! Joins: copying a table to a replica that is new to it.
//!
//! The joining side asks one member for a copy. The source answers with its cursor of every origin log of the table and
//! with the ends of its own logs, as of before it reads the first row; then with rows; then with the end. The joining side stores
//! the first answer's cursors as its own, so every link starts there, and merges the rows like any delta. Rows need no
//! frozen snapshot: whatever the source merges after the cursors were taken reaches the joining side by links, and a row
//! that is newer than the cursors is a version that a link will bring again, harmlessly.
//!
//! A copy that breaks is asked for again from the last durable row. The cursors of the *first* start stay: they are the
//! lowest, and the links have moved on from them since.

use std::collections::VecDeque;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    delta::Delta,
    host::{ApplyError, CopyError, CopyMark, CopyOrder, CopyPage},
    ids::{LogInfo, Position, TableId},
    stamp::Hlc,
};

/// Asks for a copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyRequest {
    /// The table.
    #[serde(rename = "t")]
    pub table: TableId,
    /// Which join this is.
    #[serde(rename = "j")]
    pub join: u64,
    /// Only rows after this one.
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub after: Option<CopyMark>,
}

/// What a copy starts with: where every link to the joining side starts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyStart {
    /// The source's cursor of every other origin's log of the table, and the ends of its own, taken together before the
    /// first row is read.
    #[serde(rename = "c")]
    pub cursors: Vec<(LogInfo, Position)>,
    /// Whatever the joining side writes must have a greater stamp: tombstones up to here may be gone.
    #[serde(rename = "h", default, skip_serializing_if = "is_none")]
    pub forgotten: Hlc,
}

fn is_none(stamp: &Hlc) -> bool {
    *stamp == Hlc(0)
}

/// Rows of a copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyRows {
    /// Versions and conflict records.
    #[serde(rename = "d")]
    pub deltas: Vec<Delta>,
    /// The last of them: a copy that breaks goes on after it.
    #[serde(rename = "l")]
    pub last: CopyMark,
}

/// A frame of a copy's stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CopyFrame {
    /// From the joining side, once.
    #[serde(rename = "request")]
    Request(CopyRequest),
    /// From the source, once, first.
    #[serde(rename = "start")]
    Start(CopyStart),
    /// From the source, any number.
    #[serde(rename = "rows")]
    Rows(CopyRows),
    /// From the source, last: everything has been sent.
    #[serde(rename = "end")]
    End,
    /// From the source, instead of everything: not now.
    #[serde(rename = "refused")]
    Refused {
        /// Why, for the log.
        #[serde(rename = "r")]
        reason: String,
    },
}

/// About how many bytes of rows go in one frame.
pub const COPY_PAGE_BYTES: usize = 256 * 1024;
/// The most logs whose cursors a copy may start with.
pub const COPY_CURSORS_MAX: usize = 65_536;

/// What the source of a copy is told.
#[derive(Clone, Debug)]
pub enum SourceEvent {
    /// A frame came from the joining side.
    Frame(CopyFrame),
    /// Answers [`SourceAction::Start`].
    Started(Result<CopyStart, CopyError>),
    /// Answers [`SourceAction::Page`].
    Page(Result<CopyPage, CopyError>),
}

/// What the source of a copy wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum SourceAction {
    /// Send this frame, and wait until the stream has taken it.
    Send(CopyFrame),
    /// Take the cursors.
    Start(CopyRequest),
    /// Read the next rows of a table.
    Page {
        /// The table.
        table: TableId,
        /// After which row.
        after: Option<CopyMark>,
        /// About how many bytes.
        bytes_max: usize,
    },
    /// Nothing more will come: finish the stream.
    Finish,
    /// The other side does not keep to the protocol: reset the stream.
    Abort(&'static str),
}

/// The giving end of a copy, for one stream.
#[derive(Debug, Default)]
pub struct Source {
    request: Option<CopyRequest>,
    after: Option<CopyMark>,
    done: bool,
    actions: VecDeque<SourceAction>,
}

impl Source {
    /// A source that waits for its request.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes an event. Actions follow from [`Source::poll_action`].
    pub fn handle(&mut self, event: SourceEvent) {
        if self.done {
            return;
        }
        match event {
            SourceEvent::Frame(CopyFrame::Request(request)) if self.request.is_none() => {
                self.after.clone_from(&request.after);
                self.request = Some(request.clone());
                self.actions.push_back(SourceAction::Start(request));
            }
            SourceEvent::Frame(_) => self.end(SourceAction::Abort("not a first request")),
            SourceEvent::Started(Ok(start)) => {
                self.actions.push_back(SourceAction::Send(CopyFrame::Start(start)));
                self.next_page();
            }
            SourceEvent::Page(Ok(page)) => self.on_page(page),
            SourceEvent::Started(Err(error)) | SourceEvent::Page(Err(error)) => {
                self.actions.push_back(SourceAction::Send(CopyFrame::Refused {
                    reason: error.to_string(),
                }));
                self.end(SourceAction::Finish);
            }
        }
    }

    /// The next thing to do, until there is none.
    pub fn poll_action(&mut self) -> Option<SourceAction> {
        self.actions.pop_front()
    }

    fn on_page(&mut self, page: CopyPage) {
        let CopyPage { deltas, last } = page;
        match last {
            // A page that does not move on would never end.
            Some(last) if self.after.as_ref().is_none_or(|after| *after < last) => {
                self.after = Some(last.clone());
                self.actions
                    .push_back(SourceAction::Send(CopyFrame::Rows(CopyRows { deltas, last })));
                self.next_page();
            }
            Some(_) => {
                let reason = "the copy's pages do not move on".into();
                self.actions
                    .push_back(SourceAction::Send(CopyFrame::Refused { reason }));
                self.end(SourceAction::Finish);
            }
            None => {
                if !deltas.is_empty() {
                    // What belongs to no row (parked deltas of a table without items) still has to travel, under a mark
                    // just behind the last one.
                    let last = match self.after.take() {
                        None => CopyMark(0, Bytes::new()),
                        Some(CopyMark(hash, key)) => CopyMark(hash, [&key[..], &[0]].concat().into()),
                    };
                    let rows = CopyRows { deltas, last };
                    self.actions.push_back(SourceAction::Send(CopyFrame::Rows(rows)));
                }
                self.actions.push_back(SourceAction::Send(CopyFrame::End));
                self.end(SourceAction::Finish);
            }
        }
    }

    fn next_page(&mut self) {
        let Some(request) = &self.request else { return };
        let (table, after) = (request.table, self.after.clone());
        self.actions.push_back(SourceAction::Page {
            table,
            after,
            bytes_max: COPY_PAGE_BYTES,
        });
    }

    fn end(&mut self, action: SourceAction) {
        self.done = true;
        self.actions.push_back(action);
    }
}

/// What the joining side of a copy is told.
#[derive(Clone, Debug)]
pub enum JoinerEvent {
    /// A frame came from the source.
    Frame(CopyFrame),
    /// Answers [`JoinerAction::StoreStart`], [`JoinerAction::StoreRows`] and [`JoinerAction::StoreEnd`]: it is durable, or
    /// nothing of it is.
    Stored(Result<(), ApplyError>),
}

/// What the joining side of a copy wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum JoinerAction {
    /// Send this frame.
    Send(CopyFrame),
    /// Read the source's next frame.
    Receive,
    /// Store the source's cursors as one's own, unless this join has some already.
    StoreStart(CopyStart),
    /// Merge rows and store their mark.
    StoreRows(CopyRows),
    /// Store that the copy is whole.
    StoreEnd,
    /// The copy is whole and durable.
    Done,
    /// The copy ends here; it goes on later, on another stream, after the last row that was stored.
    GiveUp(String),
}

/// The taking end of a copy, for one stream. It has one frame in hand at a time; the stream's own flow control holds back
/// the source.
#[derive(Debug)]
pub struct Joiner {
    expects: Expects,
    last: Option<CopyMark>,
    actions: VecDeque<JoinerAction>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expects {
    Start,
    Rows,
    Storing,
    Ending,
    Nothing,
}

impl Joiner {
    /// The taking end of the copy that is due.
    pub fn new(order: &CopyOrder) -> Self {
        let request = CopyRequest {
            table: order.table,
            join: order.join,
            after: order.after.clone(),
        };
        let actions = VecDeque::from([JoinerAction::Send(CopyFrame::Request(request)), JoinerAction::Receive]);
        Self {
            expects: Expects::Start,
            last: order.after.clone(),
            actions,
        }
    }

    /// Takes an event. Actions follow from [`Joiner::poll_action`].
    pub fn handle(&mut self, event: JoinerEvent) {
        match (self.expects, event) {
            (Expects::Nothing, _) => {}
            (_, JoinerEvent::Frame(CopyFrame::Refused { reason })) => self.give_up(reason),
            (_, JoinerEvent::Stored(Err(error))) => self.give_up(error.to_string()),
            (Expects::Start, JoinerEvent::Frame(CopyFrame::Start(start))) => {
                if start.cursors.len() > COPY_CURSORS_MAX {
                    return self.give_up("the copy starts with too many cursors".into());
                }
                self.store(Expects::Storing, JoinerAction::StoreStart(start));
            }
            (Expects::Rows, JoinerEvent::Frame(CopyFrame::Rows(rows))) => {
                if self.last.as_ref().is_some_and(|last| *last >= rows.last) {
                    return self.give_up("the copy's rows are out of order".into());
                }
                self.last = Some(rows.last.clone());
                self.store(Expects::Storing, JoinerAction::StoreRows(rows));
            }
            (Expects::Rows, JoinerEvent::Frame(CopyFrame::End)) => {
                self.store(Expects::Ending, JoinerAction::StoreEnd);
            }
            (Expects::Storing, JoinerEvent::Stored(Ok(()))) => self.store(Expects::Rows, JoinerAction::Receive),
            (Expects::Ending, JoinerEvent::Stored(Ok(()))) => self.store(Expects::Nothing, JoinerAction::Done),
            (_, _) => self.give_up("the source does not keep to the protocol".into()),
        }
    }

    /// The next thing to do, until there is none.
    pub fn poll_action(&mut self) -> Option<JoinerAction> {
        self.actions.pop_front()
    }

    fn store(&mut self, expects: Expects, action: JoinerAction) {
        self.expects = expects;
        self.actions.push_back(action);
    }

    fn give_up(&mut self, reason: String) {
        self.store(Expects::Nothing, JoinerAction::GiveUp(reason));
    }
}
