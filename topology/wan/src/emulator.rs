//! The emulator: all links, their relays, the delay queue and the control server.

use std::{collections::BTreeMap, io, net::SocketAddr, sync::Arc};

use geodynamo_topology::RegionName;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};

use crate::{
    config::{REGIONS_MAX, WanConfig},
    control,
    link::{Counters, Link},
    queue::DelayQueue,
    relay::Relay,
    shape::{Shape, ShapeChange, ShapeError},
};

/// A running emulator; dropping it ends it and drops what is under way.
pub struct WanEmulator {
    links: Arc<Links>,
    relays: BTreeMap<(RegionName, RegionName), SocketAddr>,
    control: SocketAddr,
    _tasks: JoinSet<()>,
    _queue: DelayQueue,
}

/// Why an emulator does not start.
#[derive(Debug, thiserror::Error)]
pub enum WanError {
    /// There are too many regions.
    #[error("an emulator links at most {REGIONS_MAX} regions")]
    TooManyRegions,
    /// A region is named twice.
    #[error("region '{0}' is named twice")]
    DuplicateRegion(RegionName),
    /// A socket or the thread could not be had.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Why a link's shape is not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// There is no such link.
    #[error("there is no link from '{from}' to '{to}'")]
    UnknownLink {
        /// The region it would begin at.
        from: String,
        /// The region it would end at.
        to: String,
    },
    /// A new value is refused.
    #[error(transparent)]
    Shape(#[from] ShapeError),
}

/// A link as it is now.
#[derive(Clone, Debug)]
pub struct LinkStatus {
    /// The region it begins at.
    pub from: RegionName,
    /// The region it ends at.
    pub to: RegionName,
    /// How it treats packets.
    pub shape: Shape,
    /// What it has done so far.
    pub counters: Counters,
}

impl LinkStatus {
    /// The link as the HTTP interface shows it.
    pub fn to_json(&self) -> Value {
        let mut fields = self.shape.to_json();
        fields.insert("from".to_owned(), json!(self.from.as_str()));
        fields.insert("to".to_owned(), json!(self.to.as_str()));
        fields.insert("counters".to_owned(), json!(self.counters));
        Value::Object(fields)
    }
}

impl WanEmulator {
    /// Starts an emulator on the current tokio runtime, each link with the real delay between its regions.
    pub async fn start(config: WanConfig) -> Result<Self, WanError> {
        let links = Arc::new(Links::new(&config)?);
        let queue = DelayQueue::start()?;
        let mut tasks = JoinSet::new();
        let mut relays = BTreeMap::new();
        for (pair, link) in &links.0 {
            let back = (pair.1.clone(), pair.0.clone());
            let to = config.regions.iter().find(|region| region.name == pair.1);
            let (Some(back), Some(to)) = (links.0.get(&back), to) else {
                continue;
            };
            let listen = config.listen_at(&pair.0, &pair.1);
            let targets = to.targets.clone();
            let relay = Relay::bind(Arc::clone(link), Arc::clone(back), listen, targets, queue.entrance())?;
            relays.insert(pair.clone(), relay.address()?);
            tasks.spawn(relay.run());
        }
        let listener = TcpListener::bind(config.control).await?;
        let control = listener.local_addr()?;
        tasks.spawn(control::serve(listener, Arc::clone(&links)));
        Ok(Self {
            links,
            relays,
            control,
            _tasks: tasks,
            _queue: queue,
        })
    }

    /// Where `from` sends its packets for `to`; `None` if there is no such link.
    pub fn address(&self, from: &str, to: &str) -> Option<SocketAddr> {
        let mut relays = self.relays.iter();
        relays
            .find(|((a, b), _)| a.as_str() == from && b.as_str() == to)
            .map(|(_, address)| *address)
    }

    /// Where the HTTP interface answers.
    pub fn control(&self) -> SocketAddr {
        self.control
    }

    /// All links, in the order of their names.
    pub fn links(&self) -> Vec<LinkStatus> {
        self.links.status()
    }

    /// Changes a link's shape; the settings that are not named keep their values.
    pub fn change(&self, from: &str, to: &str, change: &ShapeChange) -> Result<LinkStatus, ChangeError> {
        self.links.change(from, to, change)
    }

    /// Cuts or heals both links between two regions.
    pub fn cut(&self, a: &str, b: &str, cut: bool) -> Result<(), ChangeError> {
        let change = ShapeChange {
            cut: Some(cut),
            ..ShapeChange::default()
        };
        self.change(a, b, &change)?;
        self.change(b, a, &change)?;
        Ok(())
    }
}

/// The links of every ordered pair of regions.
pub(crate) struct Links(BTreeMap<(RegionName, RegionName), Arc<Link>>);

impl Links {
    fn new(config: &WanConfig) -> Result<Self, WanError> {
        if config.regions.len() > REGIONS_MAX {
            return Err(WanError::TooManyRegions);
        }
        let mut links = BTreeMap::new();
        for (at, from) in config.regions.iter().enumerate() {
            if config.regions[..at].iter().any(|region| region.name == from.name) {
                return Err(WanError::DuplicateRegion(from.name.clone()));
            }
            for to in config.regions.iter().filter(|to| to.name != from.name) {
                let link = Link::new(from.name.clone(), to.name.clone(), config.seed);
                links.insert((from.name.clone(), to.name.clone()), Arc::new(link));
            }
        }
        Ok(Self(links))
    }

    pub(crate) fn status(&self) -> Vec<LinkStatus> {
        self.0.values().map(|link| status(link)).collect()
    }

    pub(crate) fn change(&self, from: &str, to: &str, change: &ShapeChange) -> Result<LinkStatus, ChangeError> {
        let link = self
            .0
            .values()
            .find(|link| link.from.as_str() == from && link.to.as_str() == to);
        let link = link.ok_or_else(|| ChangeError::UnknownLink {
            from: from.to_owned(),
            to: to.to_owned(),
        })?;
        let shape = link.change(change)?;
        tracing::info!(%from, %to, ?shape, "a link's shape changed");
        Ok(status(link))
    }
}

fn status(link: &Link) -> LinkStatus {
    LinkStatus {
        from: link.from.clone(),
        to: link.to.clone(),
        shape: link.shape(),
        counters: link.counters(),
    }
}
