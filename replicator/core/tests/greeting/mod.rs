//! Who the ends of a link say they are.

use geodynamo_replicator_core::{Frame, Identity, ReplicaId};

pub(crate) fn identity(region: &str, replica: u64) -> Identity {
    Identity {
        cluster: "test".into(),
        region: region.into(),
        replica: ReplicaId(replica),
    }
}

pub(crate) fn hello(cluster: &str, region: &str, replica: u64, protocol: u16) -> Frame {
    Frame::Hello {
        protocol,
        cluster: cluster.into(),
        region: region.into(),
        replica: ReplicaId(replica),
        now_ms: 0,
    }
}
