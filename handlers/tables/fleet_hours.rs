//! The table `fleet_hours`: the figures of a day's hours, flat.

use super::schema::{Kind, always, maybe};
use super::write::TableWriter;
use super::{Column, Table, TableError};
use crate::domain::insights::figures::{Figures, FleetDay, Phase};
use crate::domain::insights::reading::micros;

/// The table.
pub const FLEET_HOURS: Table = Table {
    name: "fleet_hours",
    columns: &COLUMNS,
};

const COLUMNS: [Column; 44] = [
    always("hour", Kind::Time),
    always("complete", Kind::Flag),
    always("deliveries_started", Kind::Long),
    always("deliveries_delivered", Kind::Long),
    always("deliveries_inferred", Kind::Long),
    always("deliveries_returned", Kind::Long),
    always("deliveries_open", Kind::Long),
    always("deliveries_lost", Kind::Long),
    always("phases_to_pick_up_count", Kind::Long),
    maybe("phases_to_pick_up_p50", Kind::Double),
    maybe("phases_to_pick_up_p95", Kind::Double),
    maybe("phases_to_pick_up_p99", Kind::Double),
    always("phases_loaded_count", Kind::Long),
    maybe("phases_loaded_p50", Kind::Double),
    maybe("phases_loaded_p95", Kind::Double),
    maybe("phases_loaded_p99", Kind::Double),
    always("phases_return_count", Kind::Long),
    maybe("phases_return_p50", Kind::Double),
    maybe("phases_return_p95", Kind::Double),
    maybe("phases_return_p99", Kind::Double),
    always("phases_delivery_count", Kind::Long),
    maybe("phases_delivery_p50", Kind::Double),
    maybe("phases_delivery_p95", Kind::Double),
    maybe("phases_delivery_p99", Kind::Double),
    always("distance_km", Kind::Double),
    maybe("battery_per_km", Kind::Double),
    always("drones", Kind::Long),
    always("seconds_departed", Kind::Double),
    always("seconds_in_flight", Kind::Double),
    always("seconds_picked_up", Kind::Double),
    always("seconds_dropped_off", Kind::Double),
    always("seconds_arrived", Kind::Double),
    always("seconds_unknown", Kind::Double),
    maybe("utilisation", Kind::Double),
    always("quality_events", Kind::Long),
    always("quality_repeats", Kind::Long),
    always("quality_missing", Kind::Long),
    always("quality_stale", Kind::Long),
    always("quality_replayed", Kind::Long),
    always("quality_rejects", Kind::Long),
    maybe("quality_completeness", Kind::Double),
    maybe("quality_lag_p50", Kind::Double),
    maybe("quality_lag_p99", Kind::Double),
    maybe("as_of", Kind::Time),
];

/// Writes the hours of a day as one file.
///
/// # Errors
/// Where Parquet fails.
pub fn write(day: &FleetDay) -> Result<Vec<u8>, TableError> {
    let hours = &day.hours;
    let longs = |value: fn(&Figures) -> u64| {
        let value = move |figures: &Figures| i64::try_from(value(figures)).unwrap_or(i64::MAX);
        hours.iter().map(move |hour| value(&hour.figures))
    };
    let doubles = |value: fn(&Figures) -> f64| hours.iter().map(move |hour| value(&hour.figures));
    let maybe =
        |value: fn(&Figures) -> Option<f64>| hours.iter().map(move |hour| value(&hour.figures));
    let phases: [fn(&Figures) -> &Phase; 4] = [
        |figures| &figures.phases.to_pick_up,
        |figures| &figures.phases.loaded,
        |figures| &figures.phases.r#return,
        |figures| &figures.phases.delivery,
    ];
    let mut file = TableWriter::new(FLEET_HOURS, day.complete)?;
    file.group(|group| {
        group.longs(hours.iter().map(|hour| micros(hour.hour)))?;
        group.flags(hours.iter().map(|hour| hour.complete))?;
        group.longs(longs(|figures| figures.deliveries.started))?;
        group.longs(longs(|figures| figures.deliveries.delivered))?;
        group.longs(longs(|figures| figures.deliveries.inferred))?;
        group.longs(longs(|figures| figures.deliveries.returned))?;
        group.longs(longs(|figures| figures.deliveries.open))?;
        group.longs(longs(|figures| figures.deliveries.lost))?;
        for phase in phases {
            let phase = || hours.iter().map(move |hour| phase(&hour.figures));
            group.longs(phase().map(|phase| i64::try_from(phase.count).unwrap_or(i64::MAX)))?;
            group.maybe_doubles(phase().map(|phase| phase.p50))?;
            group.maybe_doubles(phase().map(|phase| phase.p95))?;
            group.maybe_doubles(phase().map(|phase| phase.p99))?;
        }
        group.doubles(doubles(|figures| figures.distance_km))?;
        group.maybe_doubles(maybe(|figures| figures.battery_per_km))?;
        group.longs(longs(|figures| figures.drones))?;
        group.doubles(doubles(|figures| figures.seconds.departed))?;
        group.doubles(doubles(|figures| figures.seconds.in_flight))?;
        group.doubles(doubles(|figures| figures.seconds.picked_up))?;
        group.doubles(doubles(|figures| figures.seconds.dropped_off))?;
        group.doubles(doubles(|figures| figures.seconds.arrived))?;
        group.doubles(doubles(|figures| figures.seconds.unknown))?;
        group.maybe_doubles(maybe(|figures| figures.utilisation))?;
        group.longs(longs(|figures| figures.quality.events))?;
        group.longs(longs(|figures| figures.quality.repeats))?;
        group.longs(longs(|figures| figures.quality.missing))?;
        group.longs(longs(|figures| figures.quality.stale))?;
        group.longs(longs(|figures| figures.quality.replayed))?;
        group.longs(longs(|figures| figures.quality.rejects.values().sum()))?;
        group.maybe_doubles(maybe(|figures| figures.quality.completeness))?;
        group.maybe_doubles(maybe(|figures| figures.quality.lag_p50))?;
        group.maybe_doubles(maybe(|figures| figures.quality.lag_p99))?;
        group.maybe_longs(hours.iter().map(|_| day.as_of.map(micros)))
    })?;
    file.finish()
}
