//! A service's keys, by the names that tables are given.

use std::sync::Arc;

use geodynamo_seal::{MasterKeys, RegionKey};

use crate::{Kms, Service, ServiceKey, Transit};

/// All keys of a service that it lets this region use.
///
/// AWS KMS knows a key by its id, its ARN or an alias. A transit engine's keys are called by their names; of an ARN that is what
/// follows `key/` or `alias/`.
#[derive(Clone, Debug)]
pub struct ServiceKeys(Service);

impl ServiceKeys {
    /// The keys of a service; whichever `service` itself names does not matter.
    pub fn new(service: Service) -> Self {
        Self(service)
    }
}

impl MasterKeys for ServiceKeys {
    fn master_key(&self, name: &str) -> Arc<dyn RegionKey> {
        let service = match &self.0 {
            Service::Kms(kms) => Service::Kms(Kms {
                key_id: name.to_owned(),
                ..kms.clone()
            }),
            Service::Transit(transit) => Service::Transit(Transit {
                key: transit_name(name).to_owned(),
                ..transit.clone()
            }),
        };
        Arc::new(ServiceKey::new(service, None))
    }
}

fn transit_name(name: &str) -> &str {
    let resource = match name.strip_prefix("arn:") {
        Some(arn) => arn.rsplit(':').next().unwrap_or(arn),
        None => name,
    };
    let kinds = ["key/", "alias/"];
    kinds
        .iter()
        .find_map(|kind| resource.strip_prefix(kind))
        .unwrap_or(resource)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_a_transit_engine() {
        for (name, wanted) in [
            ("orders", "orders"),
            ("alias/orders", "orders"),
            ("arn:aws:kms:eu-west-1:000000000000:key/orders", "orders"),
            ("arn:aws:kms:eu-west-1:000000000000:alias/aws/dynamodb", "aws/dynamodb"),
        ] {
            assert_eq!(transit_name(name), wanted);
        }
    }
}
