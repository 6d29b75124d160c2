//! Round-trip times between AWS regions: what the WAN emulator starts with.

use std::time::Duration;

/// The regions of the table.
const REGIONS: [&str; 10] = [
    "us-east-1",
    "us-west-1",
    "us-west-2",
    "eu-west-1",
    "eu-central-1",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "sa-east-1",
];

/// Average round-trip times in milliseconds, rounded; row `i` holds region `i + 1` against the regions before it.
///
/// Source: "Latency Between AWS Global Regions", measured between EC2 instances in both directions (averaged here where
/// both are given), as printed at <https://acomputerscientistlearnsaws.blogspot.com/2017/04/aws-regions.html> (read on
/// 2026-11-23). Routes have become a little shorter since; the order of magnitude is the speed of light's.
const ROUND_TRIPS_MS: [&[u16]; 9] = [
    &[72],
    &[88, 19],
    &[81, 153, 137],
    &[89, 167, 160, 20],
    &[145, 102, 89, 212, 237],
    &[178, 132, 118, 242, 266, 31],
    &[217, 174, 161, 239, 326, 74, 72],
    &[230, 158, 162, 310, 323, 104, 134, 175],
    &[120, 193, 183, 191, 195, 257, 286, 328, 322],
];

/// The round-trip time taken for regions that are not in the table: about that between two neighbouring continents.
pub const DEFAULT_ROUND_TRIP: Duration = Duration::from_millis(100);

/// The regions whose round-trip times are known.
pub fn regions() -> &'static [&'static str] {
    &REGIONS
}

/// The round-trip time between two regions, the same in both directions; zero within one region;
/// [`DEFAULT_ROUND_TRIP`] if either is not in the table.
pub fn round_trip(a: &str, b: &str) -> Duration {
    if a == b {
        return Duration::ZERO;
    }
    known(a, b).unwrap_or(DEFAULT_ROUND_TRIP)
}

/// Half the round-trip time: the delay in one direction.
pub fn one_way(from: &str, to: &str) -> Duration {
    round_trip(from, to) / 2
}

fn known(a: &str, b: &str) -> Option<Duration> {
    let a = REGIONS.iter().position(|region| *region == a)?;
    let b = REGIONS.iter().position(|region| *region == b)?;
    let row = ROUND_TRIPS_MS.get(a.max(b).checked_sub(1)?)?;
    row.get(a.min(b)).map(|ms| Duration::from_millis(u64::from(*ms)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips() {
        let check = |a: &str, b: &str, ms: u64| {
            assert_eq!(round_trip(a, b), Duration::from_millis(ms), "{a} {b}");
            assert_eq!(round_trip(b, a), Duration::from_millis(ms), "{b} {a}");
        };
        check("us-east-1", "us-east-1", 0);
        check("basement", "basement", 0);
        check("us-east-1", "us-west-1", 72);
        check("us-east-1", "eu-west-1", 81);
        check("us-east-1", "ap-northeast-1", 145);
        check("eu-west-1", "ap-northeast-1", 212);
        check("sa-east-1", "ap-southeast-2", 322);
        check("basement", "attic", 100);
        assert_eq!(one_way("us-east-1", "ap-northeast-1"), Duration::from_micros(72_500));
        for (at, a) in regions().iter().enumerate() {
            for b in &regions()[..at] {
                assert!(
                    known(a, b).is_some_and(|rtt| rtt > Duration::from_millis(10)),
                    "{a} {b}"
                );
            }
        }
    }
}
