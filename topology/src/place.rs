//! Where AWS's regions are: what maps show of them.

/// A region's place on the map.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Place {
    /// What the place is called.
    pub name: &'static str,
    /// Degrees, north is positive.
    pub latitude: f64,
    /// Degrees, east is positive.
    pub longitude: f64,
}

/// Regions and their places: the name that AWS tells of each, and coordinates of the city or the state, to a tenth of a degree.
///
/// Source of the names: <https://docs.aws.amazon.com/global-infrastructure/latest/regions/aws-regions.html>.
const PLACES: [(&str, &str, f64, f64); 32] = [
    ("af-south-1", "Cape Town", -33.9, 18.4),
    ("ap-east-1", "Hong Kong", 22.3, 114.2),
    ("ap-northeast-1", "Tokyo", 35.7, 139.7),
    ("ap-northeast-2", "Seoul", 37.6, 127.0),
    ("ap-northeast-3", "Osaka", 34.7, 135.5),
    ("ap-south-1", "Mumbai", 19.1, 72.9),
    ("ap-south-2", "Hyderabad", 17.4, 78.5),
    ("ap-southeast-1", "Singapore", 1.4, 103.8),
    ("ap-southeast-2", "Sydney", -33.9, 151.2),
    ("ap-southeast-3", "Jakarta", -6.2, 106.8),
    ("ap-southeast-4", "Melbourne", -37.8, 145.0),
    ("ap-southeast-5", "Malaysia", 3.1, 101.7),
    ("ap-southeast-7", "Thailand", 13.8, 100.5),
    ("ca-central-1", "Canada", 45.5, -73.6),
    ("ca-west-1", "Calgary", 51.0, -114.1),
    ("eu-central-1", "Frankfurt", 50.1, 8.7),
    ("eu-central-2", "Zurich", 47.4, 8.5),
    ("eu-north-1", "Stockholm", 59.3, 18.1),
    ("eu-south-1", "Milan", 45.5, 9.2),
    ("eu-south-2", "Spain", 41.6, -0.9),
    ("eu-west-1", "Ireland", 53.3, -6.3),
    ("eu-west-2", "London", 51.5, -0.1),
    ("eu-west-3", "Paris", 48.9, 2.4),
    ("il-central-1", "Tel Aviv", 32.1, 34.8),
    ("me-central-1", "UAE", 25.2, 55.3),
    ("me-south-1", "Bahrain", 26.1, 50.6),
    ("mx-central-1", "Mexico", 20.6, -100.4),
    ("sa-east-1", "São Paulo", -23.5, -46.6),
    ("us-east-1", "N. Virginia", 38.9, -77.4),
    ("us-east-2", "Ohio", 40.0, -83.0),
    ("us-west-1", "N. California", 37.4, -121.9),
    ("us-west-2", "Oregon", 45.8, -119.7),
];

/// Where a region is; `None` if it is not called like one of AWS's.
pub fn place(region: &str) -> Option<Place> {
    let at = PLACES.binary_search_by_key(&region, |(known, ..)| known).ok()?;
    let (_, name, latitude, longitude) = *PLACES.get(at)?;
    Some(Place {
        name,
        latitude,
        longitude,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtt;

    #[test]
    fn places_are_found() {
        for (region, name, ..) in PLACES {
            assert_eq!(
                place(region).map(|place| place.name),
                Some(name),
                "{region} is out of order"
            );
        }
        assert_eq!(place("basement"), None);
        for region in rtt::regions() {
            let place = place(region).unwrap();
            assert!(place.latitude.abs() < 90.0 && place.longitude.abs() < 180.0);
        }
    }
}
