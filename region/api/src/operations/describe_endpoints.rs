use geodynamo_storage::Engine;

use crate::{
    Api,
    generated::{DescribeEndpointsRequest, DescribeEndpointsResponse, Endpoint},
};

/// How long a client may keep the address, in minutes: a day, as DynamoDB says.
const CACHE_MINUTES: i64 = 1440;

/// Gives this region's address.
pub(super) fn describe_endpoints<E: Engine>(api: &Api<E>, _: &DescribeEndpointsRequest) -> DescribeEndpointsResponse {
    let endpoint = Endpoint {
        address: Some(api.endpoint.as_str().into()),
        cache_period_in_minutes: Some(CACHE_MINUTES),
    };
    DescribeEndpointsResponse {
        endpoints: Some(vec![endpoint]),
    }
}
