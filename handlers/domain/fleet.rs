//! Which drones somebody asks for.

use time::UtcDateTime;

use super::drone::DroneState;
use super::identifier::DeliveryId;
use super::telemetry::{FlightStatus, Position, ranges};

/// What drones must be like to be listed. Every part that is given must hold; none lists all drones.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DroneFilter {
    /// How far the delivery is. A drone that has not reported a flight has no status.
    pub status: Option<FlightStatus>,
    /// The delivery that the drone was last on.
    pub delivery_id: Option<DeliveryId>,
    /// Where it is. A drone that has not reported a flight is nowhere.
    pub area: Option<Area>,
    /// The hub took one of its events at this time or later.
    pub seen_since: Option<UtcDateTime>,
}

/// A box on the map between two meridians and two parallels, edges included.
///
/// Where `west` is greater than `east`, the box crosses the antimeridian, as in RFC 7946: from 170 to
/// -170 is 20 degrees wide.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Area {
    west: f64,
    south: f64,
    east: f64,
    north: f64,
}

/// Why four numbers are no [`Area`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AreaError {
    /// A longitude beyond the range, or not a number.
    #[error("longitudes are between -180 and 180")]
    Longitude,
    /// A latitude beyond the range, or not a number.
    #[error("latitudes are between -90 and 90")]
    Latitude,
    /// The south is north of the north.
    #[error("the least latitude is greater than the greatest")]
    UpsideDown,
}

impl Area {
    /// Degrees, in the order of GeoJSON's `bbox`.
    ///
    /// # Errors
    /// Where a number is beyond its range, or the box is upside down.
    pub fn new(west: f64, south: f64, east: f64, north: f64) -> Result<Self, AreaError> {
        if ![west, east]
            .iter()
            .all(|longitude| ranges::LONGITUDE.contains(longitude))
        {
            return Err(AreaError::Longitude);
        }
        if ![south, north]
            .iter()
            .all(|latitude| ranges::LATITUDE.contains(latitude))
        {
            return Err(AreaError::Latitude);
        }
        if south > north {
            return Err(AreaError::UpsideDown);
        }
        Ok(Self {
            west,
            south,
            east,
            north,
        })
    }

    /// `[west, south, east, north]` in degrees.
    pub fn bounds(&self) -> [f64; 4] {
        [self.west, self.south, self.east, self.north]
    }

    /// Whether the box goes over the line where longitudes jump from 180 to -180.
    pub fn crosses_antimeridian(&self) -> bool {
        self.west > self.east
    }

    /// Whether a point is inside or on the edge.
    pub fn contains(&self, position: &Position) -> bool {
        let Position {
            latitude,
            longitude,
            ..
        } = *position;
        let between = if self.crosses_antimeridian() {
            longitude >= self.west || longitude <= self.east
        } else {
            longitude >= self.west && longitude <= self.east
        };
        between && latitude >= self.south && latitude <= self.north
    }
}

impl DroneFilter {
    /// Whether a drone is one of those asked for.
    pub fn matches(&self, drone: &DroneState) -> bool {
        let flight = drone.flight.as_ref().map(|section| &section.value);
        self.status
            .is_none_or(|status| flight.is_some_and(|flight| flight.status == status))
            && self
                .delivery_id
                .as_ref()
                .is_none_or(|delivery| drone.delivery_id() == Some(delivery))
            && self
                .area
                .is_none_or(|area| flight.is_some_and(|flight| area.contains(&flight.position)))
            && self
                .seen_since
                .is_none_or(|since| drone.last_seen_at >= since)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn at(longitude: f64, latitude: f64) -> Position {
        Position {
            latitude,
            longitude,
            altitude: 0.0,
        }
    }

    #[test]
    fn a_box_has_its_edges() {
        let area = Area::new(-10.0, -5.0, 10.0, 5.0).unwrap();
        for inside in [at(0.0, 0.0), at(-10.0, 5.0), at(10.0, -5.0)] {
            assert!(area.contains(&inside), "{inside:?}");
        }
        for outside in [at(10.1, 0.0), at(-10.1, 0.0), at(0.0, 5.1), at(180.0, 0.0)] {
            assert!(!area.contains(&outside), "{outside:?}");
        }
    }

    #[test]
    fn a_box_from_east_to_west_crosses_the_antimeridian() {
        let area = Area::new(170.0, -20.0, -170.0, 20.0).unwrap();
        assert!(area.crosses_antimeridian());
        for inside in [
            at(170.0, 0.0),
            at(180.0, 0.0),
            at(-180.0, 0.0),
            at(-170.0, 20.0),
        ] {
            assert!(area.contains(&inside), "{inside:?}");
        }
        for outside in [
            at(169.9, 0.0),
            at(-169.9, 0.0),
            at(0.0, 0.0),
            at(175.0, 21.0),
        ] {
            assert!(!area.contains(&outside), "{outside:?}");
        }
    }

    #[test]
    fn a_box_may_be_a_point_and_the_whole_world() {
        let point = Area::new(7.5, 47.5, 7.5, 47.5).unwrap();
        assert!(point.contains(&at(7.5, 47.5)));
        let world = Area::new(-180.0, -90.0, 180.0, 90.0).unwrap();
        assert!(world.contains(&at(180.0, -90.0)));
    }

    #[test]
    fn what_is_no_box_is_refused() {
        for (bounds, error) in [
            ([-180.1, 0.0, 0.0, 0.0], AreaError::Longitude),
            ([0.0, 0.0, f64::INFINITY, 0.0], AreaError::Longitude),
            ([f64::NAN, 0.0, 0.0, 0.0], AreaError::Longitude),
            ([0.0, -90.5, 0.0, 0.0], AreaError::Latitude),
            ([0.0, 0.0, 0.0, f64::NAN], AreaError::Latitude),
            ([0.0, 1.0, 0.0, -1.0], AreaError::UpsideDown),
        ] {
            let [west, south, east, north] = bounds;
            assert_eq!(
                Area::new(west, south, east, north),
                Err(error),
                "{bounds:?}"
            );
        }
    }
}
