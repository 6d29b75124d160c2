//! Bringing a copy to its vault: what the region that has the backup says, and the questions themselves.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;
use geodynamo_recovery::{CopyHead, Outgoing};
use geodynamo_replicator_core::Millis;
use geodynamo_storage::Engine;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::{
    BackupError, QUESTION_BYTES_MAX, Shared,
    copies::vault_place,
    error::Result,
    state::{CopyJob, JobState, Note, Row},
};

/// Bytes of an object that go with a question; the rest of it is room for what is said of them.
const PART_BYTES: usize = QUESTION_BYTES_MAX - 64 * 1024;
/// How long is waited at first until a copy that was broken off goes on, and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(15));
/// A copy that does not come to its end in such a time has failed.
const WITHIN_MS: Millis = 24 * 60 * 60 * 1000;
/// How often an object is sent again whose parts did not come together.
const AGAIN_MAX: usize = 8;

/// What is said of a copy to the region that it goes to.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Said {
    /// A backup comes, or goes on to come.
    #[serde(rename = "b")]
    Begin {
        /// What it is called there.
        #[serde(rename = "i")]
        id: String,
        #[serde(rename = "h")]
        head: Box<CopyHead>,
        #[serde(rename = "n")]
        note: Box<Note>,
    },
    /// A part of an object's content.
    #[serde(rename = "p")]
    Part {
        #[serde(rename = "i")]
        id: String,
        /// Which object.
        #[serde(rename = "n")]
        number: u64,
        /// Where the part is in it.
        #[serde(rename = "f")]
        from: u64,
        /// How long the whole is.
        #[serde(rename = "l")]
        len: u64,
        /// The whole's XXH3-128, in hexadecimal digits.
        #[serde(rename = "s")]
        sum: String,
        #[serde(rename = "b")]
        bytes: ByteBuf,
    },
    /// All of it was sent.
    #[serde(rename = "e")]
    End {
        #[serde(rename = "i")]
        id: String,
    },
    /// No more of it comes.
    #[serde(rename = "g")]
    GivenUp {
        #[serde(rename = "i")]
        id: String,
    },
}

/// What the region answers.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Heard {
    /// The part is there; more of its object is missing.
    #[serde(rename = "p")]
    Part,
    /// The object of this number is the next one.
    #[serde(rename = "u")]
    Until(u64),
    /// The copy is a recovery point, with this ARN.
    #[serde(rename = "w")]
    Whole(String),
    /// It is not known what this belongs to: the copy begins again.
    #[serde(rename = "a")]
    Anew,
    /// It cannot be now.
    #[serde(rename = "l")]
    Later(String),
    /// It cannot be.
    #[serde(rename = "r")]
    Refused(String),
}

/// Why a copy did not come to its end.
enum Broken {
    /// It may, if it is tried again.
    Passing(String),
    Final(String),
}

impl From<BackupError> for Broken {
    fn from(error: BackupError) -> Self {
        match error.code {
            "ServiceUnavailableException" | "LimitExceededException" => {
                Self::Passing(error.fault.map_or(error.message, String::from))
            }
            _ => Self::Final(error.message),
        }
    }
}

impl<E: Engine> Shared<E> {
    /// Brings a copy to its end. It may be dropped at any time, and goes on when it is called again.
    pub(crate) async fn carry(self: &Arc<Self>, id: &str) {
        let Some(job) = self.known.lock().copies.get(id).cloned() else {
            return;
        };
        let mut wait = RETRY.0;
        let end = loop {
            match self.send(&job).await {
                Ok(arn) => break Ok(arn),
                Err(Broken::Final(message)) => break Err(message),
                Err(Broken::Passing(message)) => {
                    tracing::warn!(message, job = id, "a copy was broken off; it is tried again");
                    if self.tables.now_ms() > job.job.created_ms.saturating_add(WITHIN_MS) {
                        break Err(message);
                    }
                }
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(RETRY.1);
        };
        if end.is_err() {
            let given_up = Said::GivenUp {
                id: job.backup_id.clone(),
            };
            if let Some(place) = vault_place(&job.vault_arn) {
                // What is there of it goes by itself in the end.
                let _ = self.ask(place.region, &given_up).await;
            }
        }
        while let Err(error) = self.end_copy(id, end.clone()).await {
            tracing::warn!(
                error.message,
                job = id,
                "how a copy ended is not stored; it is tried again"
            );
            tokio::time::sleep(RETRY.1).await;
        }
    }

    async fn send(self: &Arc<Self>, job: &CopyJob) -> std::result::Result<String, Broken> {
        let place = vault_place(&job.vault_arn).ok_or_else(|| Broken::Final("There is no such vault".to_owned()))?;
        let source = self.copied(&job.source_point, &job.source_vault).await?;
        let recoveries = self.recoveries()?;
        let outgoing = recoveries
            .outgoing(&job.source_point)
            .await
            .map_err(BackupError::from)?;
        if job.job.state == JobState::Created {
            let mut running = job.clone();
            running.job.state = JobState::Running;
            self.commit(vec![Row::Copy(running)], Vec::new()).await?;
        }
        let note = Note {
            vault: place.name.to_owned(),
            resource: job.job.resource.clone(),
            role: job.job.role.clone(),
            job: job.job.id.clone(),
            lifecycle: job.lifecycle,
            tags: source.tags().clone(),
            creator: job.job.creator.clone(),
            source_vault_arn: Some(self.vault_arn(&job.source_vault)),
        };
        let begin = Said::Begin {
            id: job.backup_id.clone(),
            head: Box::new(outgoing.head.clone()),
            note: Box::new(note),
        };
        let mut next = match self.told(place.region, &begin).await? {
            Heard::Until(next) => next,
            Heard::Whole(arn) => return Ok(arn),
            _ => return Err(strange()),
        };
        let mut again = 0;
        while next < outgoing.head.objects {
            let until = self.send_object(place.region, &job.backup_id, &outgoing, next).await?;
            again = if until > next { 0 } else { again + 1 };
            if again > AGAIN_MAX {
                return Err(Broken::Passing(format!("object {next} does not come together")));
            }
            next = until;
        }
        let end = Said::End {
            id: job.backup_id.clone(),
        };
        match self.told(place.region, &end).await? {
            Heard::Whole(arn) => Ok(arn),
            _ => Err(strange()),
        }
    }

    /// Sends an object; gives which is the next one.
    async fn send_object(
        self: &Arc<Self>,
        region: &str,
        id: &str,
        outgoing: &Outgoing,
        number: u64,
    ) -> std::result::Result<u64, Broken> {
        let (_, content, sum) = outgoing.object(number).await.map_err(|error| {
            let message = error.to_string();
            if error.may_pass() {
                Broken::Passing(message)
            } else {
                Broken::Final(message)
            }
        })?;
        let mut from = 0;
        loop {
            let to = content.len().min(from + PART_BYTES);
            let bytes = content.get(from..to).unwrap_or_default();
            let part = Said::Part {
                id: id.to_owned(),
                number,
                from: from as u64,
                len: content.len() as u64,
                sum: format!("{sum:032x}"),
                bytes: ByteBuf::from(bytes),
            };
            let heard = self.told(region, &part).await?;
            self.counters.copied_bytes.fetch_add(bytes.len() as u64, Relaxed);
            match heard {
                Heard::Until(next) => return Ok(next),
                Heard::Part if to < content.len() => from = to,
                _ => return Err(strange()),
            }
        }
    }

    /// What a region answers, if the copy can go on.
    async fn told(self: &Arc<Self>, region: &str, said: &Said) -> std::result::Result<Heard, Broken> {
        match self.ask(region, said).await? {
            Heard::Refused(reason) => Err(Broken::Final(reason)),
            Heard::Later(reason) => Err(Broken::Passing(reason)),
            Heard::Anew => Err(Broken::Passing(format!(
                "region {region} does not know of the copy any more"
            ))),
            heard => Ok(heard),
        }
    }

    async fn ask(self: &Arc<Self>, region: &str, said: &Said) -> std::result::Result<Heard, Broken> {
        let own = self.tables.region();
        let wrong = |error: &dyn std::fmt::Display| Broken::Final(error.to_string());
        let question: Bytes = rmp_serde::to_vec_named(said).map_err(|error| wrong(&error))?.into();
        let answer = if region == own {
            self.hear(&question).await
        } else {
            let regions = self.regions.get();
            let regions = regions.ok_or_else(|| Broken::Passing("no region is connected yet".to_owned()))?;
            regions.ask(region, question).await.map_err(Broken::Passing)?
        };
        rmp_serde::from_slice(&answer).map_err(|error| Broken::Passing(error.to_string()))
    }
}

fn strange() -> Broken {
    Broken::Passing("the region answers another question".to_owned())
}

/// An answer's bytes.
pub(crate) fn pack(heard: &Heard) -> Result<Bytes> {
    let packed = rmp_serde::to_vec_named(heard).map_err(BackupError::unavailable)?;
    Ok(packed.into())
}
