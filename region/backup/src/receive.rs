//! The other end of a copy: what a region does that one comes to.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use geodynamo_recovery::{Arrived, COPY_OBJECT_BYTES_MAX, CopyHead, Error};
use geodynamo_storage::Engine;
use parking_lot::Mutex;

use crate::{
    Backups, QUESTION_BYTES_MAX, Shared,
    carry::{Heard, Said, pack},
    state::Note,
};

/// The parts of the object that each copy is at, by the copies' ids.
pub(crate) type Parts = Mutex<BTreeMap<String, Gathered>>;

/// How long parts are kept that nothing follows.
const KEPT: Duration = Duration::from_secs(60 * 60);

/// Parts of an object.
#[derive(Debug)]
pub(crate) struct Gathered {
    number: u64,
    bytes: BytesMut,
    seen: Instant,
}

/// A part of an object.
struct Part<'a> {
    id: &'a str,
    number: u64,
    from: u64,
    len: u64,
    sum: &'a str,
    bytes: &'a [u8],
}

impl<E: Engine> Backups<E> {
    /// Answers what another region of the cluster asks; whoever calls this has made sure that it is one.
    ///
    /// # Errors
    /// If it is no question.
    pub async fn answer(&self, question: &[u8]) -> Result<Bytes, String> {
        if question.len() > QUESTION_BYTES_MAX {
            return Err("the question is too long".to_owned());
        }
        let said = match rmp_serde::from_slice::<Said>(question) {
            Ok(said) => said,
            Err(error) => return Ok(packed(&unreadable(&error))),
        };
        // A copy's parts are found by its id, whosever it is.
        let of = match &said {
            Said::Begin { head, .. } => self.0.owner_of(&head.settings.name),
            _ => self.0.own(),
        };
        Ok(packed(&of.take(said).await))
    }
}

impl<E: Engine> Shared<E> {
    /// Answers a question.
    pub(crate) async fn hear(&self, question: &[u8]) -> Bytes {
        let heard = match rmp_serde::from_slice::<Said>(question) {
            Ok(said) => self.take(said).await,
            Err(error) => unreadable(&error),
        };
        packed(&heard)
    }

    async fn take(&self, said: Said) -> Heard {
        match said {
            Said::Begin { id, head, note } => self.begins(id, *head, *note).await,
            Said::Part {
                id,
                number,
                from,
                len,
                sum,
                bytes,
            } => {
                let part = Part {
                    id: &id,
                    number,
                    from,
                    len,
                    sum: &sum,
                    bytes: &bytes,
                };
                self.part(part).await
            }
            Said::End { id } => {
                let Ok(recoveries) = self.recoveries() else {
                    return no_archive();
                };
                self.parts.lock().remove(&id);
                match recoveries.copy_ends(&id).await {
                    Ok(backup) => {
                        tracing::info!(arn = backup.arn, "a backup of another region is here");
                        Heard::Whole(backup.arn)
                    }
                    Err(error) => failed(&error),
                }
            }
            Said::GivenUp { id } => {
                let Ok(recoveries) = self.recoveries() else {
                    return no_archive();
                };
                self.parts.lock().remove(&id);
                match recoveries.copy_given_up(&id).await {
                    Ok(()) => Heard::Part,
                    Err(error) => failed(&error),
                }
            }
        }
    }

    async fn begins(&self, id: String, head: CopyHead, note: Note) -> Heard {
        let Ok(recoveries) = self.recoveries() else {
            return no_archive();
        };
        if !self.owns(&head.settings.name) {
            return Heard::Refused("the backup is another account's".to_owned());
        }
        let vault = match self.vault_or_default(&note.vault).await {
            Ok(vault) => vault,
            Err(error) if error.fault.is_some() => return Heard::Later(error.message),
            Err(error) => return Heard::Refused(error.message),
        };
        if let Some(reason) = vault.refuses(&note.lifecycle) {
            return Heard::Refused(reason);
        }
        let note = match rmp_serde::to_vec_named(&note) {
            Ok(note) => note,
            Err(error) => return Heard::Refused(error.to_string()),
        };
        match recoveries.copy_begins(&id, head, note).await {
            Ok(Arrived::Until(next)) => {
                let mut parts = self.parts.lock();
                parts.retain(|_, gathered| gathered.seen.elapsed() < KEPT);
                let gathered = Gathered {
                    number: next,
                    bytes: BytesMut::new(),
                    seen: Instant::now(),
                };
                parts.insert(id, gathered);
                Heard::Until(next)
            }
            Ok(Arrived::Whole(backup)) => Heard::Whole(backup.arn),
            Err(error) => failed(&error),
        }
    }

    async fn part(&self, part: Part<'_>) -> Heard {
        let Ok(recoveries) = self.recoveries() else {
            return no_archive();
        };
        let (whole, sum) = match self.gather(&part) {
            Ok(gathered) => gathered,
            Err(heard) => return heard,
        };
        match recoveries.copy_object(part.id, part.number, whole, sum).await {
            Ok(next) => Heard::Until(next),
            Err(error) => failed(&error),
        }
    }

    /// The whole object, if this is its last part; what to answer if it is not.
    fn gather(&self, part: &Part<'_>) -> Result<(Bytes, u128), Heard> {
        let len = usize::try_from(part.len)
            .ok()
            .filter(|len| *len <= COPY_OBJECT_BYTES_MAX);
        let len = len.ok_or_else(|| Heard::Refused("an object is too large to be copied".to_owned()))?;
        let sum = u128::from_str_radix(part.sum, 16).map_err(|error| Heard::Refused(error.to_string()))?;
        let mut parts = self.parts.lock();
        let gathered = parts.get_mut(part.id).ok_or(Heard::Anew)?;
        gathered.seen = Instant::now();
        if part.from == 0 {
            gathered.number = part.number;
            gathered.bytes.clear();
        }
        if gathered.number != part.number || gathered.bytes.len() as u64 != part.from {
            return Err(Heard::Anew);
        }
        if gathered.bytes.len() + part.bytes.len() > len {
            return Err(Heard::Refused("an object is longer than was told".to_owned()));
        }
        gathered.bytes.extend_from_slice(part.bytes);
        if gathered.bytes.len() < len {
            return Err(Heard::Part);
        }
        Ok((std::mem::take(&mut gathered.bytes).freeze(), sum))
    }
}

fn unreadable(error: &rmp_serde::decode::Error) -> Heard {
    Heard::Refused(format!("the region cannot read what is asked: {error}"))
}

fn packed(heard: &Heard) -> Bytes {
    pack(heard).unwrap_or_default()
}

fn no_archive() -> Heard {
    Heard::Refused("the region has no archive".to_owned())
}

fn failed(error: &Error) -> Heard {
    match error {
        Error::Gone => Heard::Anew,
        error if error.may_pass() => Heard::Later(error.to_string()),
        error => Heard::Refused(error.to_string()),
    }
}
