//! `geodynamo status`: regions and links at a glance, and what is wrong with them.

use std::fmt::Write as _;

use clap::Args;
use geodynamo_metrics::exposition::Exposition;
use serde::Serialize;

use crate::{
    Done,
    admin::{Admin, AdminPort, Observation, World},
    client::Failure,
    output::{Cell, OutputForm, Table, Tone, bytes, count, duration, print, print_json},
};

/// Writes that wait for a peer longer than this are a matter for somebody, in seconds.
const LAG_MAX_S: f64 = 10.0;
/// For how long a region may be out of reach, in seconds, before that is told beside its link being down.
const SILENT_MAX_S: f64 = 3600.0;
/// How far regions' clocks may be apart before it is told, in seconds.
const CLOCK_APART_S: f64 = 0.5;
/// How far the archive may be behind, in seconds.
const ARCHIVE_BEHIND_S: f64 = 120.0;
/// The least part of the disk that should be free.
const DISK_FREE_PART: f64 = 0.1;
/// Numbers that should be 0: the metric, what is told before and after it, and what to do.
const SHOULD_BE_NONE: [(&str, &str, &str, &str); 5] = [
    (
        "geodynamo_replicas_failed",
        "knows of",
        "replicas that could not be made",
        "`geodynamo tables` shows which; take them back with ReplicaUpdates Delete, or remove what has their name",
    ),
    (
        "geodynamo_versions_waiting",
        "has",
        "versions parked, whose stamps are ahead of its clock",
        "set the clocks right: `geodynamo doctor` tells which is wrong",
    ),
    (
        "geodynamo_storage_unmended_ranges",
        "refuses requests for",
        "ranges of rows that were in damaged files",
        "they are mended from other regions and the archive; `geodynamo verify` tells of which tables they are",
    ),
    (
        "geodynamo_storage_unmendable_tables",
        "has",
        "tables with lost rows that nobody can give back",
        "restore them from backups under other names, and look at the disk",
    ),
    (
        "geodynamo_archive_damaged_objects",
        "has",
        "damaged objects in its archive",
        "its log names them: put them back from a copy of the bucket, or make new backups",
    ),
];

/// Arguments of `status`.
#[derive(Clone, PartialEq, Debug, Args)]
pub struct StatusArguments {
    /// Which region is asked; it asks the others.
    #[command(flatten)]
    pub port: AdminPort,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    pub output: OutputForm,
}

/// A region, as it is shown.
#[derive(Clone, PartialEq, Debug, Serialize)]
struct RegionStatus {
    region: String,
    ready: bool,
    reason: Option<String>,
    version: Option<String>,
    up_s: Option<f64>,
    memory_bytes: Option<u64>,
    disk_free_bytes: Option<u64>,
    disk_size_bytes: Option<u64>,
    data_bytes: Option<u64>,
    connections: Option<u64>,
    conflicts: Option<u64>,
    archive_behind_s: Option<f64>,
    clock_ahead_s: Option<f64>,
    /// In a region on Cassandra: the node that was asked, and who writes.
    node: Option<NodeStatus>,
}

/// A node of a region that may have several.
#[derive(Clone, PartialEq, Debug, Serialize)]
struct NodeStatus {
    name: String,
    zone: Option<String>,
    is_owner: bool,
    epoch: u64,
    position: Option<u64>,
    rows_behind: Option<u64>,
}

/// A link, as it is shown.
#[derive(Clone, PartialEq, Debug, Serialize)]
struct LinkStatus {
    from: String,
    to: String,
    up: bool,
    lag_s: Option<f64>,
    backlog_changes: Option<u64>,
    rtt_s: Option<f64>,
}

/// Something that needs somebody.
#[derive(Clone, PartialEq, Debug, Serialize)]
struct Trouble {
    what: String,
    advice: &'static str,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
struct Report {
    cluster: Option<String>,
    regions: Vec<RegionStatus>,
    links: Vec<LinkStatus>,
    troubles: Vec<Trouble>,
}

pub(crate) async fn run(arguments: &StatusArguments) -> Done {
    let admin = Admin::new(&arguments.port.admin)?;
    let world = admin.world().await?;
    let observations = admin.observe_all(&world).await;
    let report = report(&world, &observations);
    match arguments.output {
        OutputForm::Json => print_json(&report)?,
        OutputForm::Table => print(&render(&report))?,
    }
    match report.troubles.len() {
        0 => Ok(()),
        1 => Err("one thing needs somebody".into()),
        number => Err(format!("{number} things need somebody").into()),
    }
}

fn report(world: &World, observations: &[Observation]) -> Report {
    let mut troubles = Vec::new();
    let regions: Vec<_> = observations.iter().map(region_status).collect();
    for (status, observation) in regions.iter().zip(observations) {
        judge_region(status, observation.metrics.as_ref(), &mut troubles);
    }
    judge_clocks(&regions, &mut troubles);
    let links: Vec<_> = observations.iter().flat_map(links_of).collect();
    for link in &links {
        judge_link(link, &mut troubles);
    }
    Report {
        cluster: world.cluster.clone(),
        regions,
        links,
        troubles,
    }
}

fn region_status(observation: &Observation) -> RegionStatus {
    let metrics = observation.metrics.as_ref();
    let number = |name: &str| metrics.and_then(|metrics| metrics.value(name));
    let whole = |name: &str| number(name).map(|value| value.max(0.0) as u64);
    let now = number("geodynamo_time_seconds");
    RegionStatus {
        region: observation.region.clone(),
        ready: observation.ready.is_ok(),
        reason: observation.ready.clone().err(),
        version: metrics
            .and_then(|metrics| metrics.label("geodynamo_build_info", "version"))
            .map(str::to_owned),
        up_s: now
            .zip(number("geodynamo_process_start_time_seconds"))
            .map(|(now, start)| now - start),
        memory_bytes: whole("geodynamo_process_resident_memory_bytes"),
        disk_free_bytes: whole("geodynamo_storage_disk_free_bytes"),
        disk_size_bytes: whole("geodynamo_storage_disk_size_bytes"),
        data_bytes: whole("geodynamo_storage_table_bytes"),
        connections: whole("geodynamo_connections_open"),
        conflicts: metrics
            .and_then(|metrics| metrics.sum("geodynamo_conflicts_total"))
            .map(|sum| sum.max(0.0) as u64),
        archive_behind_s: number("geodynamo_archive_behind_seconds"),
        // The clock was read at some moment of the answer: no nearer than that is known.
        clock_ahead_s: now.map(|now| {
            let apart = now - observation.asked_at;
            let known_to = observation.took / 2.0;
            if apart.abs() <= known_to { 0.0 } else { apart }
        }),
        node: metrics.and_then(node_status),
    }
}

fn node_status(metrics: &Exposition) -> Option<NodeStatus> {
    let whole = |name: &str| metrics.value(name).map(|value| value.max(0.0) as u64);
    Some(NodeStatus {
        is_owner: whole("geodynamo_cassandra_owner")? > 0,
        name: metrics.label("geodynamo_region_info", "node").unwrap_or("-").to_owned(),
        zone: metrics.label("geodynamo_node_zone_info", "zone").map(str::to_owned),
        epoch: whole("geodynamo_cassandra_epoch").unwrap_or_default(),
        position: whole("geodynamo_cassandra_log_position"),
        rows_behind: whole("geodynamo_cassandra_rows_behind"),
    })
}

fn judge_region(status: &RegionStatus, metrics: Option<&Exposition>, troubles: &mut Vec<Trouble>) {
    let name = &status.region;
    let mut tell = |what: String, advice| troubles.push(Trouble { what, advice });
    let Some(metrics) = metrics else {
        let reason = status.reason.as_deref().unwrap_or_default();
        return tell(
            format!("{name} does not answer: {}", reason.lines().next().unwrap_or_default()),
            "see whether its process runs and its admin port can be reached from the region that was asked",
        );
    };
    if let Some(reason) = &status.reason {
        tell(
            format!("{name} takes no writes: {reason}"),
            "no_room: make room; read_only: mount it for writing; broken: give the region a fresh data directory",
        );
    }
    if let Some((free, size)) = status.disk_free_bytes.zip(status.disk_size_bytes)
        && (free as f64) < size as f64 * DISK_FREE_PART
    {
        tell(
            format!("{name} has {} of {} free", bytes(free), bytes(size)),
            "make room before writes stop, or give the data directory a larger disk",
        );
    }
    if let Some(behind) = status.archive_behind_s
        && behind > ARCHIVE_BEHIND_S
    {
        tell(
            format!("{name}'s archive is {} behind", duration(behind)),
            "see in its log why the archive cannot be written; after six hours windows begin anew",
        );
    }
    for (metric, before, after, advice) in SHOULD_BE_NONE {
        let number = metrics.value(metric).unwrap_or(0.0);
        if number > 0.0 {
            tell(format!("{name} {before} {number} {after}"), advice);
        }
    }
    for peer in metrics
        .all("geodynamo_region_silent_seconds")
        .filter(|peer| peer.value > SILENT_MAX_S)
    {
        tell(
            format!(
                "{name} has not reached {} for {}",
                peer.label("peer_region").unwrap_or("a peer"),
                duration(peer.value)
            ),
            "tables part for good after `part_after_seconds`, 20 hours unless it says otherwise; each side keeps its data",
        );
    }
    for link in metrics.all("geodynamo_link_logs_ahead").filter(|link| link.value > 0.0) {
        tell(
            format!(
                "{name} has lost data that {} holds",
                link.label("peer_region").unwrap_or("a peer")
            ),
            "its data directory is older than what it had sent: give it a fresh one, and it gets a copy",
        );
    }
}

fn judge_clocks(regions: &[RegionStatus], troubles: &mut Vec<Trouble>) {
    let known: Vec<_> = regions
        .iter()
        .filter_map(|status| Some((&status.region, status.clock_ahead_s?)))
        .collect();
    let by_clock = |a: &&(&String, f64), b: &&(&String, f64)| a.1.total_cmp(&b.1);
    let (Some((behind, least)), Some((ahead, most))) = (known.iter().min_by(by_clock), known.iter().max_by(by_clock))
    else {
        return;
    };
    if most - least > CLOCK_APART_S {
        troubles.push(Trouble {
            what: format!("{ahead}'s clock is {} ahead of {behind}'s", duration(most - least)),
            advice: "let both machines take their time from a server (chrony, systemd-timesyncd)",
        });
    }
}

fn links_of(observation: &Observation) -> Vec<LinkStatus> {
    let Some(metrics) = &observation.metrics else {
        return Vec::new();
    };
    let links = metrics.all("geodynamo_link_up").filter_map(|up| {
        let peer = up.label("peer_region")?;
        let of = |name: &str| metrics.value_of(name, "peer_region", peer);
        let up = up.value > 0.0;
        Some(LinkStatus {
            from: observation.region.clone(),
            to: peer.to_owned(),
            up,
            lag_s: of("geodynamo_replication_oldest_unreplicated_seconds"),
            backlog_changes: of("geodynamo_link_backlog_changes").map(|value| value.max(0.0) as u64),
            rtt_s: of("geodynamo_link_rtt_seconds").filter(|_| up),
        })
    });
    links.collect()
}

fn judge_link(link: &LinkStatus, troubles: &mut Vec<Trouble>) {
    let name = format!("{} → {}", link.from, link.to);
    if !link.up {
        troubles.push(Trouble {
            what: format!("the link {name} is down"),
            advice: "see whether the peer runs, UDP reaches its replication port, and certificates are valid (`geodynamo doctor`); \
                     writes wait in the log meanwhile",
        });
    } else if let Some(lag) = link.lag_s.filter(|lag| *lag > LAG_MAX_S) {
        troubles.push(Trouble {
            what: format!("the link {name} is {} behind", duration(lag)),
            advice: "`geodynamo top` shows whether it catches up; if not, the link or the peer is too slow for the writes",
        });
    }
}

fn render(report: &Report) -> String {
    let mut text = String::new();
    let verdict = match report.troubles.len() {
        0 => Tone::Good.paint("all is well"),
        1 => Tone::Bad.paint("one thing needs somebody"),
        number => Tone::Bad.paint(&format!("{number} things need somebody")),
    };
    let cluster = report.cluster.as_deref().map_or("one region".to_owned(), |cluster| {
        format!("cluster {cluster}, {} regions", report.regions.len())
    });
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(text, "{cluster}: {verdict}\n");
    text.push_str(&regions_table(&report.regions).render());
    if report.regions.iter().any(|region| region.node.is_some()) {
        text.push('\n');
        text.push_str(&nodes_table(&report.regions).render());
    }
    if !report.links.is_empty() {
        text.push('\n');
        text.push_str(&links_table(&report.links).render());
    }
    for trouble in &report.troubles {
        let _ = writeln!(text, "\n{} {}", Tone::Bad.paint("✗"), trouble.what);
        let _ = writeln!(text, "  what to do: {}", trouble.advice);
    }
    text
}

fn regions_table(regions: &[RegionStatus]) -> Table {
    let mut table = Table::new(&[
        "REGION",
        "STATE",
        "VERSION",
        ">UP FOR",
        ">MEMORY",
        ">DATA",
        ">DISK FREE",
        ">CLIENTS",
        ">CONFLICTS",
        ">ARCHIVE BEHIND",
    ]);
    let or_dash = |text: Option<String>| Cell::from(text.unwrap_or_else(|| "-".to_owned()));
    for status in regions {
        let state = match (&status.reason, &status.version) {
            (None, _) => Cell::toned("ready", Tone::Good),
            (Some(_), Some(_)) => Cell::toned("not ready", Tone::Bad),
            (Some(_), None) => Cell::toned("silent", Tone::Bad),
        };
        table.rows.push(vec![
            status.region.as_str().into(),
            state,
            or_dash(status.version.clone()),
            or_dash(status.up_s.map(duration)),
            or_dash(status.memory_bytes.map(bytes)),
            or_dash(status.data_bytes.map(bytes)),
            or_dash(status.disk_free_bytes.map(bytes)),
            or_dash(status.connections.map(count)),
            or_dash(status.conflicts.map(count)),
            or_dash(status.archive_behind_s.map(duration)),
        ]);
    }
    table
}

fn nodes_table(regions: &[RegionStatus]) -> Table {
    let mut table = Table::new(&[
        "ON CASSANDRA",
        "NODE",
        "ZONE",
        "IT",
        ">EPOCH",
        ">LOG POSITION",
        ">ROWS BEHIND",
    ]);
    let or_dash = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), count);
    for (region, node) in regions
        .iter()
        .filter_map(|region| Some((region, region.node.as_ref()?)))
    {
        table.rows.push(vec![
            region.region.as_str().into(),
            node.name.as_str().into(),
            node.zone.as_deref().unwrap_or("-").into(),
            if node.is_owner { "writes" } else { "stands by" }.into(),
            count(node.epoch).into(),
            or_dash(node.position).into(),
            or_dash(node.rows_behind).into(),
        ]);
    }
    table
}

fn links_table(links: &[LinkStatus]) -> Table {
    let mut table = Table::new(&["LINK", "STATE", ">LAG", ">WAITING CHANGES", ">ROUND TRIP"]);
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    for link in links {
        let state = if link.up {
            Cell::toned("up", Tone::Good)
        } else {
            Cell::toned("down", Tone::Bad)
        };
        let tone = if link.lag_s.is_some_and(|lag| lag > LAG_MAX_S) {
            Tone::Bad
        } else {
            Tone::Plain
        };
        table.rows.push(vec![
            format!("{} → {}", link.from, link.to).into(),
            state,
            Cell::toned(or_dash(link.lag_s.map(duration)), tone),
            or_dash(link.backlog_changes.map(count)).into(),
            or_dash(link.rtt_s.map(duration)).into(),
        ]);
    }
    table
}

/// Why a status cannot be had: for the other commands that show regions.
pub(crate) fn nobody(observations: &[Observation]) -> Option<Failure> {
    let all_silent = observations.iter().all(|observation| observation.metrics.is_none());
    all_silent.then(|| Failure::told("no region answers", "`geodynamo status` tells why"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observation(region: &str, more: &str) -> Observation {
        let text = format!(
            "geodynamo_build_info{{version=\"1\",commit=\"c\"}} 1\ngeodynamo_time_seconds 1000\n\
             geodynamo_process_start_time_seconds 400\ngeodynamo_storage_disk_free_bytes 500\n\
             geodynamo_storage_disk_size_bytes 1000\n{more}"
        );
        Observation {
            region: region.to_owned(),
            ready: Ok(()),
            metrics: Some(Exposition::parse(&text)),
            asked_at: 1000.2,
            took: 0.5,
        }
    }

    fn troubles(observations: &[Observation]) -> Vec<String> {
        let world = World {
            cluster: Some("c".to_owned()),
            own: "a".to_owned(),
            regions: Vec::new(),
        };
        let report = report(&world, observations);
        console::set_colors_enabled(false);
        let text = render(&report);
        report
            .troubles
            .iter()
            .map(|trouble| {
                assert!(text.contains(&trouble.what) && text.contains(trouble.advice), "{text}");
                trouble.what.clone()
            })
            .collect()
    }

    #[test]
    fn what_is_well_is_no_trouble() {
        let link = "geodynamo_link_up{peer_region=\"b\"} 1\ngeodynamo_link_rtt_seconds{peer_region=\"b\"} 0.08\n\
                    geodynamo_replication_oldest_unreplicated_seconds{peer_region=\"b\"} 0.2\n";
        assert_eq!(troubles(&[observation("a", link), observation("b", "")]), [""; 0]);
    }

    #[test]
    fn a_region_on_cassandra_tells_which_node_writes() {
        let more = "geodynamo_region_info{region=\"a\",node=\"a-1\"} 1\ngeodynamo_node_zone_info{node=\"a-1\",zone=\"east\"} 1\ngeodynamo_cassandra_owner 1\n\
                    geodynamo_cassandra_epoch 7\ngeodynamo_cassandra_log_position 812\ngeodynamo_cassandra_rows_behind 3\n";
        let observations = [observation("a", more), observation("b", "")];
        assert_eq!(troubles(&observations), [""; 0]);
        let status = region_status(&observations[0]);
        let table = nodes_table(&[status.clone(), region_status(&observations[1])]).render();
        let (node, rows) = (status.node.unwrap(), table.lines().count());
        assert_eq!((node.name.as_str(), node.is_owner, node.epoch), ("a-1", true, 7));
        assert_eq!(node.zone.as_deref(), Some("east"));
        assert_eq!(
            (node.position, node.rows_behind, rows),
            (Some(812), Some(3), 2),
            "{table}"
        );
    }

    #[test]
    fn troubles_are_found() {
        for (more, expect) in [
            ("geodynamo_link_up{peer_region=\"b\"} 0\n", "the link a → b is down"),
            (
                "geodynamo_link_up{peer_region=\"b\"} 1\n\
                 geodynamo_replication_oldest_unreplicated_seconds{peer_region=\"b\"} 61\n",
                "the link a → b is 1 min 01 s behind",
            ),
            (
                "geodynamo_replicas_failed 2\n",
                "a knows of 2 replicas that could not be made",
            ),
            (
                "geodynamo_archive_behind_seconds 300\n",
                "a's archive is 5 min 00 s behind",
            ),
            (
                "geodynamo_link_logs_ahead{peer_region=\"b\"} 1\n",
                "a has lost data that b holds",
            ),
            (
                "geodynamo_storage_unmended_ranges 3\n",
                "a refuses requests for 3 ranges of rows that were in damaged files",
            ),
            (
                "geodynamo_storage_unmendable_tables 1\n",
                "a has 1 tables with lost rows that nobody can give back",
            ),
        ] {
            assert_eq!(troubles(&[observation("a", more)]), [expect], "{more}");
        }
        let mut full = observation("a", "");
        full.metrics = Some(Exposition::parse(
            "geodynamo_storage_disk_free_bytes 99\ngeodynamo_storage_disk_size_bytes 1000\n",
        ));
        assert_eq!(troubles(&[full]), ["a has 99 B of 1.0 KiB free"]);
        let mut ahead = observation("b", "");
        ahead.asked_at = 990.0;
        assert_eq!(
            troubles(&[observation("a", ""), ahead]),
            ["b's clock is 10 s ahead of a's"]
        );
        let mut silent = observation("a", "");
        (silent.metrics, silent.ready) = (None, Err("does not answer".to_owned()));
        assert_eq!(troubles(&[silent]), ["a does not answer: does not answer"]);
        let mut refusing = observation("a", "");
        refusing.ready = Err("no_room".to_owned());
        assert_eq!(troubles(&[refusing]), ["a takes no writes: no_room"]);
    }
}
