//! The topology: a cluster's regions, nodes, addresses and links.

use std::{collections::BTreeSet, fmt, str::FromStr};

use toml::Spanned;

use crate::{
    address::Address,
    error::{Position, Reason, TopologyError},
    file::{File, LinkEntry, NodeEntry, RegionEntry},
    name::{ClusterName, NodeName, RegionName, ZoneName},
};

/// The most regions a topology may have.
pub const REGIONS_MAX: usize = 64;
/// The most nodes a region may have.
pub const NODES_PER_REGION_MAX: usize = 256;
/// The longest topology file, in bytes.
pub const FILE_LEN_MAX: usize = 1 << 20;

/// A cluster: its regions and how each reaches the others. Made by [`Topology::parse`], so it always holds what is
/// promised there: unique names and addresses, no region without nodes, a link for each ordered pair of regions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    cluster: ClusterName,
    regions: Vec<Region>,
    links: Vec<Link>,
    source_name: String,
    first_region: Position,
}

/// A region: where clients read and write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// Its name.
    pub name: RegionName,
    /// Its nodes, at least one, in the order of the file.
    pub nodes: Vec<Node>,
}

/// A node: one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name, unique in the cluster.
    pub name: NodeName,
    /// What may fail without the region's other nodes: a data centre, a room; none if the file does not say.
    pub zone: Option<ZoneName>,
    /// Where it listens for its peers (QUIC, UDP).
    pub replication: Address,
    /// Where it listens for clients (HTTP, TCP).
    pub data: Address,
    /// Where it answers operators (HTTP, TCP).
    pub admin: Address,
}

/// The directed way from one region to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The region that dials.
    pub from: RegionName,
    /// The region that is dialled.
    pub to: RegionName,
    /// The address to dial instead of the peer's own (a relay, an address translated by a firewall); `None` is direct. Where the
    /// region has several nodes, it must lead to whichever of them answers.
    pub via: Option<Address>,
}

impl Topology {
    /// Parses and checks a topology file.
    ///
    /// `source_name` is how the text is called in errors, usually the file's path. Links that the file does not name are
    /// direct. The first fault found is returned, with its line and column; see [`Reason`] for all of them.
    pub fn parse(source_name: &str, text: &str) -> Result<Self, TopologyError> {
        Parser { source_name, text }.topology()
    }

    /// The cluster's name.
    pub fn cluster(&self) -> &ClusterName {
        &self.cluster
    }

    /// The regions, at least one, in the order of the file.
    pub fn regions(&self) -> &[Region] {
        &self.regions
    }

    /// All links: one for each ordered pair of regions, in the order of regions.
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// The region of that name.
    pub fn region(&self, name: &str) -> Option<&Region> {
        self.regions.iter().find(|region| region.name.as_str() == name)
    }

    /// The region of that name, which has to be there: a node's own.
    ///
    /// Fails with [`Reason::MissingRegion`], placed where the file's regions begin.
    pub fn require_region(&self, name: &RegionName) -> Result<&Region, TopologyError> {
        self.region(name.as_str()).ok_or_else(|| {
            let known = self.regions.iter().map(|region| region.name.clone()).collect();
            let reason = Reason::MissingRegion {
                region: name.clone(),
                known,
            };
            self.first_region.error(&self.source_name, reason)
        })
    }

    /// The regions other than this one, in the order of the file.
    pub fn peers<'a>(&'a self, region: &'a RegionName) -> impl Iterator<Item = &'a Region> {
        self.regions.iter().filter(move |peer| peer.name != *region)
    }

    /// The node of that name and its region.
    pub fn node(&self, name: &str) -> Option<(&Region, &Node)> {
        self.regions
            .iter()
            .flat_map(|region| region.nodes.iter().map(move |node| (region, node)))
            .find(|(_, node)| node.name.as_str() == name)
    }

    /// The link from one region to another; `None` if they are the same or one is not in the topology.
    pub fn link(&self, from: &str, to: &str) -> Option<&Link> {
        self.links
            .iter()
            .find(|link| link.from.as_str() == from && link.to.as_str() == to)
    }

    /// The addresses at which a region dials another's nodes, in the order of the file: the link's `via`, or the nodes'
    /// own. Empty if there is no such link.
    pub fn dial(&self, from: &str, to: &str) -> Vec<&Address> {
        match (self.link(from, to), self.region(to)) {
            (Some(Link { via: Some(via), .. }), _) => vec![via],
            (Some(_), Some(region)) => region.nodes.iter().map(|node| &node.replication).collect(),
            _ => Vec::new(),
        }
    }
}

/// Writes the topology as a file that [`Topology::parse`] reads back; direct links are left out.
impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names and addresses hold nothing that TOML would need escaped.
        writeln!(f, "cluster = \"{}\"", self.cluster)?;
        for region in &self.regions {
            writeln!(f, "\n[[region]]\nname = \"{}\"", region.name)?;
            for node in &region.nodes {
                writeln!(f, "\n[[region.node]]\nname = \"{}\"", node.name)?;
                if let Some(zone) = &node.zone {
                    writeln!(f, "zone = \"{zone}\"")?;
                }
                writeln!(f, "replication = \"{}\"", node.replication)?;
                writeln!(f, "data = \"{}\"", node.data)?;
                writeln!(f, "admin = \"{}\"", node.admin)?;
            }
        }
        for link in &self.links {
            if let Some(via) = &link.via {
                writeln!(
                    f,
                    "\n[[link]]\nfrom = \"{}\"\nto = \"{}\"\nvia = \"{via}\"",
                    link.from, link.to
                )?;
            }
        }
        Ok(())
    }
}

/// Turns a file into a topology, keeping the places of things for errors.
struct Parser<'a> {
    source_name: &'a str,
    text: &'a str,
}

impl Parser<'_> {
    fn topology(&self) -> Result<Topology, TopologyError> {
        if self.text.len() > FILE_LEN_MAX {
            return Err(self.error_at(
                FILE_LEN_MAX,
                Reason::TooMany {
                    what: "bytes",
                    limit: FILE_LEN_MAX,
                },
            ));
        }
        let file: File = toml::from_str(self.text).map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            self.error_at(offset, Reason::Form(one_line(error.message())))
        })?;
        let cluster = self.value::<ClusterName>(&file.cluster)?;
        let Some(first) = file.region.first() else {
            return Err(self.error(&file.cluster, Reason::NoRegions));
        };
        let first_region = Position::of(self.text, first.name.span().start);
        let regions = self.regions(&file.region)?;
        let links = self.links(&regions, &file.link)?;
        Ok(Topology {
            cluster,
            regions,
            links,
            source_name: self.source_name.to_owned(),
            first_region,
        })
    }

    fn regions(&self, entries: &[RegionEntry]) -> Result<Vec<Region>, TopologyError> {
        let mut regions: Vec<Region> = Vec::with_capacity(entries.len().min(REGIONS_MAX));
        let mut seen = Seen::default();
        for entry in entries {
            let name: RegionName = self.value(&entry.name)?;
            if regions.len() == REGIONS_MAX {
                return Err(self.error(
                    &entry.name,
                    Reason::TooMany {
                        what: "regions",
                        limit: REGIONS_MAX,
                    },
                ));
            }
            if regions.iter().any(|region| region.name == name) {
                return Err(self.error(&entry.name, Reason::DuplicateRegion(name)));
            }
            if entry.node.is_empty() {
                return Err(self.error(&entry.name, Reason::NoNodes(name)));
            }
            let mut nodes = Vec::with_capacity(entry.node.len().min(NODES_PER_REGION_MAX));
            for node in &entry.node {
                if nodes.len() == NODES_PER_REGION_MAX {
                    let limit = NODES_PER_REGION_MAX;
                    return Err(self.error(
                        &node.name,
                        Reason::TooMany {
                            what: "nodes in a region",
                            limit,
                        },
                    ));
                }
                nodes.push(self.node(node, &mut seen)?);
            }
            regions.push(Region { name, nodes });
        }
        Ok(regions)
    }

    fn node(&self, entry: &NodeEntry, seen: &mut Seen) -> Result<Node, TopologyError> {
        let name: NodeName = self.value(&entry.name)?;
        if !seen.nodes.insert(name.clone()) {
            return Err(self.error(&entry.name, Reason::DuplicateNode(name)));
        }
        let replication: Address = self.value(&entry.replication)?;
        if !seen.udp.insert(replication.clone()) {
            return Err(self.error(&entry.replication, Reason::DuplicateAddress(replication.to_string())));
        }
        let mut tcp = |text: &Spanned<String>| {
            let address: Address = self.value(text)?;
            if seen.tcp.insert(address.clone()) {
                Ok(address)
            } else {
                Err(self.error(text, Reason::DuplicateAddress(address.to_string())))
            }
        };
        let zone = entry.zone.as_ref().map(|zone| self.value(zone)).transpose()?;
        Ok(Node {
            name,
            zone,
            replication,
            data: tcp(&entry.data)?,
            admin: tcp(&entry.admin)?,
        })
    }

    fn links(&self, regions: &[Region], entries: &[LinkEntry]) -> Result<Vec<Link>, TopologyError> {
        let mut links: Vec<Link> = Vec::with_capacity(regions.len() * (regions.len() - 1));
        for from in regions {
            for to in regions.iter().filter(|to| to.name != from.name) {
                links.push(Link {
                    from: from.name.clone(),
                    to: to.name.clone(),
                    via: None,
                });
            }
        }
        let mut seen = BTreeSet::new();
        for entry in entries {
            let from: RegionName = self.value(&entry.from)?;
            let to: RegionName = self.value(&entry.to)?;
            if !regions.iter().any(|region| region.name == from) {
                return Err(self.error(&entry.from, Reason::LinkFromUnknown(from)));
            }
            if !regions.iter().any(|region| region.name == to) {
                return Err(self.error(&entry.to, Reason::LinkToUnknown(to)));
            }
            // Both are known now, so the only pair without a link is a region and itself.
            let Some(link) = links.iter_mut().find(|link| link.from == from && link.to == to) else {
                return Err(self.error(&entry.to, Reason::SelfLink(to)));
            };
            if !seen.insert((from.clone(), to.clone())) {
                return Err(self.error(&entry.from, Reason::DuplicateLink(from, to)));
            }
            if let Some(via) = &entry.via {
                link.via = Some(self.value(via)?);
            }
        }
        Ok(links)
    }

    fn value<T>(&self, text: &Spanned<String>) -> Result<T, TopologyError>
    where
        T: FromStr,
        Reason: From<T::Err>,
    {
        text.get_ref()
            .parse()
            .map_err(|error| self.error(text, Reason::from(error)))
    }

    fn error<T>(&self, place: &Spanned<T>, reason: Reason) -> TopologyError {
        self.error_at(place.span().start, reason)
    }

    fn error_at(&self, offset: usize, reason: Reason) -> TopologyError {
        TopologyError::at(self.source_name, self.text, offset, reason)
    }
}

/// What may be there only once in a cluster. UDP and TCP ports are different ones.
#[derive(Default)]
struct Seen {
    nodes: BTreeSet<NodeName>,
    udp: BTreeSet<Address>,
    tcp: BTreeSet<Address>,
}

/// An error is one line, whatever the TOML parser says.
fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}
