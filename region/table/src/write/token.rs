//! Client request tokens: what makes a repeated transaction the same transaction.
//!
//! A token is stored in the commit of its transaction, so both are there after a crash or neither is. Tokens are kept by
//! the ten minutes in which they were used: all of such a stretch are dropped at once, by one range, when none of them is
//! valid any more.

mod recent;

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Buf, BufMut, Bytes};
use geodynamo_replicator_core::Millis;
use geodynamo_storage::{Commit, Direction, Engine, Scan, Write};
use parking_lot::Mutex;
use recent::Recent;
use smallvec::SmallVec;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::{
    Result, TableError,
    layout::{
        keys::{self, space},
        range::whole,
    },
    write::Writes,
};

/// How long a token is valid after its transaction is committed, in milliseconds.
///
/// Source: AWS API reference, TransactWriteItems, ClientRequestToken.
pub const TOKEN_VALID_MS: Millis = 10 * 60 * 1000;
/// The one format there is.
const FORMAT: u8 = 1;

/// A client's name for a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientToken {
    text: String,
    /// The text's hash.
    hash: u64,
    parameters: u128,
}

/// What is known of tokens in memory; the used ones are on disk.
#[derive(Debug)]
pub(crate) struct Tokens {
    /// Those of transactions in progress: no more than there are requests.
    in_progress: Mutex<Vec<ClientToken>>,
    recent: Mutex<Recent>,
    /// The stretch before which everything has been dropped.
    dropped: AtomicU64,
}

/// The right to use a token. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Claim<'a> {
    tokens: &'a Tokens,
    token: &'a ClientToken,
}

/// A used token, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UsedToken {
    pub(crate) used_ms: Millis,
    pub(crate) parameters: u128,
    /// Read units that a repetition consumes, of each table of the transaction in the order of first mention.
    pub(crate) units: Vec<u32>,
}

impl ClientToken {
    /// A token, and all other parameters of its request that a repetition must have the same, in any fixed form.
    pub fn new(text: &str, parameters: &[u8]) -> Self {
        Self {
            text: text.into(),
            hash: xxh3_64(text.as_bytes()),
            parameters: xxh3_128(parameters),
        }
    }

    /// The stored form of this token once it is used.
    pub(crate) fn used(&self, used_ms: Millis, units: Vec<u32>) -> Write {
        let used = UsedToken {
            used_ms,
            parameters: self.parameters,
            units,
        };
        Write::Put(self.key(stretch(used_ms)), used.write())
    }

    fn key(&self, stretch: u64) -> Bytes {
        keys::token(stretch, self.hash, self.text.as_bytes())
    }
}

impl Tokens {
    /// What is known of an engine's tokens when it is opened: the last stretch that has any.
    pub(crate) async fn open<E: Engine>(engine: &E) -> Result<Self> {
        let (from, _) = keys::owner_range(space::TOKEN, 0, 0, 0);
        let (to, _) = keys::owner_range(space::TOKEN + 1, 0, 0, 0);
        let last = Scan {
            direction: Direction::Reverse,
            ..whole(from, to, 1, usize::MAX)
        };
        let found = engine.scan(last).await?.rows;
        let since = found
            .first()
            .map_or(0, |(key, _)| keys::owner_of(key).saturating_add(1));
        Ok(Self {
            in_progress: Mutex::default(),
            recent: Mutex::new(Recent::since(since)),
            dropped: AtomicU64::default(),
        })
    }

    /// Notes that a token is about to be used.
    pub(crate) fn uses(&self, token: &ClientToken, used_ms: Millis) {
        self.recent.lock().add(stretch(used_ms), token.hash);
    }

    /// The keys under which a token may be found that is still valid.
    fn keys(&self, token: &ClientToken, now: Millis) -> SmallVec<[Bytes; 2]> {
        let last = stretch(now);
        let recent = self.recent.lock();
        // A token that is still valid was used in this stretch or in the one before.
        [last, last.saturating_sub(1)]
            .into_iter()
            .filter(|stretch| recent.may_have(*stretch, token.hash))
            .map(|stretch| token.key(stretch))
            .collect()
    }

    /// Claims a token for a transaction that begins.
    pub(crate) fn claim<'a>(&'a self, token: &'a ClientToken) -> Result<Claim<'a>> {
        let mut in_progress = self.in_progress.lock();
        match in_progress.iter().find(|other| other.text == token.text) {
            Some(other) if other == token => return Err(TableError::TransactionInProgress),
            Some(_) => return Err(TableError::ParameterMismatch),
            None => in_progress.push(token.clone()),
        }
        Ok(Claim { tokens: self, token })
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.tokens.in_progress.lock().retain(|other| other != self.token);
    }
}

impl<E: Engine> Writes<E> {
    /// The use of a token that is still valid, if there was one; it must have been with the same parameters.
    pub(crate) async fn find_token(&self, token: &ClientToken) -> Result<Option<UsedToken>> {
        let now = self.local.orderer().now_ms();
        let keys = self.transactions.tokens.keys(token, now);
        if keys.is_empty() {
            return Ok(None);
        }
        for found in self.local.store().get_many(&keys).await?.into_iter().flatten() {
            let used = UsedToken::read(found)?;
            if now.saturating_sub(used.used_ms) >= TOKEN_VALID_MS {
                continue;
            }
            if used.parameters != token.parameters {
                return Err(TableError::ParameterMismatch);
            }
            return Ok(Some(used));
        }
        Ok(None)
    }

    /// Drops the tokens that are no longer valid: one range, at most once in ten minutes.
    pub(crate) async fn drop_old_tokens(&self) -> Result<()> {
        let oldest = stretch(self.local.orderer().now_ms()).saturating_sub(1);
        let dropped = &self.transactions.tokens.dropped;
        // On an engine that does not span groups there are no tokens (see `transact_write`).
        if !self.local.store().spans_groups() || dropped.load(Ordering::Relaxed) >= oldest {
            return Ok(());
        }
        let (from, _) = keys::owner_range(space::TOKEN, 0, 0, 0);
        let (to, _) = keys::owner_range(space::TOKEN, oldest, 0, 0);
        let commit = Commit {
            writes: vec![Write::DeleteRange(from, to)],
            makes_room: true,
            ..Commit::default()
        };
        self.local.store().commit(commit).await?;
        dropped.store(oldest, Ordering::Relaxed);
        Ok(())
    }
}

impl UsedToken {
    fn write(&self) -> Bytes {
        let mut out = Vec::with_capacity(25 + 4 * self.units.len());
        out.put_u8(FORMAT);
        out.put_u64(self.used_ms);
        out.put_u128(self.parameters);
        self.units.iter().for_each(|units| out.put_u32(*units));
        out.into()
    }

    fn read(mut bytes: Bytes) -> Result<Self> {
        if bytes.len() < 25 || bytes.len() % 4 != 1 || bytes.get_u8() != FORMAT {
            return Err(TableError::Corrupt("a stored token cannot be read".into()));
        }
        Ok(Self {
            used_ms: bytes.get_u64(),
            parameters: bytes.get_u128(),
            units: std::iter::from_fn(|| bytes.has_remaining().then(|| bytes.get_u32())).collect(),
        })
    }
}

/// Which ten minutes a moment is in.
fn stretch(ms: Millis) -> u64 {
    ms / TOKEN_VALID_MS
}

#[cfg(test)]
mod tests {
    use geodynamo_storage::{MemoryEngine, Spanning};

    use super::*;

    #[test]
    fn a_used_token_keeps_its_stored_form() {
        let token = ClientToken::new("token", b"parameters");
        let Write::Put(key, value) = token.used(1_763_890_000_000, vec![2, 400]) else {
            panic!("not a put");
        };
        let golden = include_str!("../../tests/golden/token-1.hex").split_whitespace();
        let hex = |bytes: &Bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!([hex(&key), hex(&value)], *golden.collect::<Vec<_>>());
        let used = UsedToken::read(value.clone()).unwrap();
        assert_eq!((used.used_ms, used.units), (1_763_890_000_000, vec![2, 400]));
        for end in 0..value.len() {
            let part = UsedToken::read(value.slice(..end));
            assert!(part.is_err() || end % 4 == 1, "{end}");
        }
    }

    #[tokio::test]
    async fn a_token_in_progress_is_not_claimed_twice() {
        let tokens = Tokens::open(&MemoryEngine::new(Spanning::Yes)).await.unwrap();
        let (token, same_name) = (ClientToken::new("t", b"1"), ClientToken::new("t", b"2"));
        let other = ClientToken::new("other", b"1");
        let claim = tokens.claim(&token).unwrap();
        assert!(matches!(tokens.claim(&token), Err(TableError::TransactionInProgress)));
        assert!(matches!(tokens.claim(&same_name), Err(TableError::ParameterMismatch)));
        assert!(tokens.claim(&other).is_ok());
        drop(claim);
        assert!(tokens.claim(&same_name).is_ok());
    }
}
