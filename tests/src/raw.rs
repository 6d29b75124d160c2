//! Requests that are answered whatever the answer is, and what they carry.

use std::net::SocketAddr;

use geodynamo_loadgen::client::Connection;
use geodynamo_loadgen::cluster::ask_admin;
use serde_json::Value;

use crate::Failure;

/// Calls an operation of DynamoDB; gives the status and the answer.
pub async fn call(connection: &mut Connection, operation: &str, input: &Value) -> Result<(u16, Value), Failure> {
    let target = format!("DynamoDB_20120810.{operation}");
    let reply = connection.call(&target, input.to_string().as_bytes()).await?;
    Ok((reply.status, serde_json::from_slice(connection.body(reply))?))
}

/// The value of a metric that an admin port tells: the first one whose line begins with `name`, its labels included.
pub fn metric(admin: SocketAddr, name: &str) -> Result<f64, Failure> {
    let (_, text) = ask_admin(admin, "/metrics")?;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let rest = |line: &str| line.strip_prefix(name).map(str::to_owned);
    let mut rests = lines.filter_map(rest).filter(|rest| rest.starts_with([' ', '{']));
    let value = rests.next().and_then(|rest| rest.rsplit_once(' ')?.1.parse().ok());
    Ok(value.ok_or_else(|| format!("no metric {name}"))?)
}

/// A text that no compressor makes much shorter: the same for the same seed.
pub fn noise(seed: u64, bytes: usize) -> String {
    let mut dice = Dice(seed);
    // '#' to '[': no character that JSON escapes but the backslash, which is just behind.
    let letter = |_| char::from(b'#' + (dice.below(57)) as u8);
    (0..bytes).map(letter).collect()
}

/// Numbers by chance, the same for the same seed (splitmix64).
#[derive(Debug)]
pub struct Dice(pub u64);

impl Dice {
    /// Any number.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below a limit; 0 if that is 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.roll().checked_rem(limit).unwrap_or(0)
    }
}
