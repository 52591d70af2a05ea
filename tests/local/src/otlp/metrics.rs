//! What the metrics say: the last value of each series, summed over the processes that sent it.
//!
//! A process that is started again is another instance, and begins at zero: what the ended one has sent last stays
//! in the sum.

use std::collections::{BTreeMap, HashMap};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, DataPointFlags, HistogramDataPoint, Metric, NumberDataPoint,
};
use opentelemetry_proto::tonic::resource::v1::Resource;

use super::attributes::{Attributes, cut};
use super::durations::Durations;
use super::history::History;
use super::lines;

/// Further series are not taken.
const MOST_SERIES: usize = 20_000;

/// Of more processes the values of the one that was silent longest are no longer told apart.
const MOST_INSTANCES: usize = 512;

/// A histogram with more is not taken.
const MOST_BUCKETS: usize = 256;

/// A process that sends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Instance {
    /// `service.name`.
    pub service: String,
    /// `faas.instance`, by which the local host knows the process.
    pub worker: Option<String>,
    /// Until when everything is in what it has sent, in nanoseconds of Unix time: a process reads its metrics one after the other.
    pub heard_at: u64,
}

/// Everything that was received.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    instances: BTreeMap<String, Instance>,
    series: HashMap<(String, Attributes), Series>,
    /// When the first point of what is being taken was read.
    first_read: Option<u64>,
    pub(super) durations: Durations,
    pub(super) history: History,
}

#[derive(Debug, Default)]
struct Series {
    is_gauge: bool,
    /// Of what is no longer told apart.
    ended: Sum,
    by_instance: BTreeMap<String, Point>,
}

/// The last that an instance has said.
#[derive(Debug, Default)]
struct Point {
    sum: Sum,
    buckets: Vec<u64>,
    begun: u64,
    at: u64,
}

/// A number, and of histograms how many values it is the sum of.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sum {
    /// Of a counter its value, of a histogram the sum of its values.
    pub value: f64,
    /// Of a histogram how many values.
    pub count: u64,
}

impl Sum {
    fn add(&mut self, other: Self) {
        self.value += other.value;
        self.count += other.count;
    }
}

/// One point, whatever its type.
pub(super) struct Report<'a> {
    pub(super) name: &'a str,
    pub(super) attributes: &'a Attributes,
    pub(super) bounds: &'a [f64],
    /// What has come since the last report, and when that was.
    pub(super) gained: Sum,
    pub(super) buckets: Vec<u64>,
    pub(super) since: u64,
    pub(super) at: u64,
    /// Of a gauge: its value.
    pub(super) gauge: Option<f64>,
}

/// Points that were not taken, and why the last of them was not.
#[derive(Debug, Default)]
struct Rejected {
    points: i64,
    why: &'static str,
}

impl Rejected {
    fn add(&mut self, points: usize, why: &'static str) {
        self.points += i64::try_from(points).unwrap_or(i64::MAX);
        self.why = why;
    }
}

impl Metrics {
    /// Takes what was sent at `now`, in nanoseconds of Unix time. What was not taken is counted, with the reason.
    pub(super) fn take(
        &mut self,
        sent: ExportMetricsServiceRequest,
        now: u64,
    ) -> Option<(i64, String)> {
        let mut rejected = Rejected::default();
        for of_resource in sent.resource_metrics {
            let id = self.instance(of_resource.resource.as_ref());
            self.first_read = None;
            for scope in of_resource.scope_metrics {
                for metric in scope.metrics {
                    self.take_metric(&id, metric, now, &mut rejected);
                }
            }
            if let (Some(instance), Some(at)) = (self.instances.get_mut(&id), self.first_read) {
                instance.heard_at = instance.heard_at.max(at);
            }
        }
        self.forget_instances();
        (rejected.points > 0).then(|| (rejected.points, rejected.why.to_owned()))
    }

    fn instance(&mut self, resource: Option<&Resource>) -> String {
        let attributes = resource.map(|resource| Attributes::of(&resource.attributes));
        let attributes = attributes.unwrap_or_default();
        let text = |name| attributes.get(name).map(str::to_owned);
        let service = text("service.name").unwrap_or_default();
        // Without one, all processes of a service are taken for one.
        let id = text("service.instance.id").unwrap_or_else(|| service.clone());
        let instance = self.instances.entry(id.clone()).or_default();
        instance.service = service;
        instance.worker = text("faas.instance");
        id
    }

    fn take_metric(&mut self, id: &str, metric: Metric, now: u64, rejected: &mut Rejected) {
        let name = cut(&metric.name);
        match metric.data {
            Some(Data::Gauge(gauge)) => {
                for point in &gauge.data_points {
                    self.take_number(id, &name, point, None, now, rejected);
                }
            }
            Some(Data::Sum(sum)) => {
                let is_delta = is_delta(sum.aggregation_temporality);
                for point in &sum.data_points {
                    self.take_number(id, &name, point, Some(is_delta), now, rejected);
                }
            }
            Some(Data::Histogram(histogram)) => {
                let is_delta = is_delta(histogram.aggregation_temporality);
                for point in histogram.data_points {
                    self.take_histogram(id, &name, point, is_delta, now, rejected);
                }
            }
            Some(Data::ExponentialHistogram(histogram)) => rejected.add(
                histogram.data_points.len(),
                "exponential histograms are not read here",
            ),
            Some(Data::Summary(summary)) => {
                rejected.add(summary.data_points.len(), "summaries are not read here");
            }
            None => {}
        }
    }

    /// `is_delta` is `None` for a gauge.
    fn take_number(
        &mut self,
        id: &str,
        name: &str,
        point: &NumberDataPoint,
        is_delta: Option<bool>,
        now: u64,
        rejected: &mut Rejected,
    ) {
        let value = match point.value {
            Some(Number::AsInt(value)) => value as f64,
            Some(Number::AsDouble(value)) => value,
            None => return,
        };
        if has_no_value(point.flags) {
            return;
        }
        if !value.is_finite() {
            return rejected.add(1, "a value is no number");
        }
        let said = Point {
            sum: Sum { value, count: 0 },
            buckets: Vec::new(),
            begun: point.start_time_unix_nano,
            at: point.time_unix_nano.min(now),
        };
        let attributes = Attributes::of(&point.attributes);
        self.take_point(id, name, attributes, &[], said, is_delta, rejected);
    }

    fn take_histogram(
        &mut self,
        id: &str,
        name: &str,
        point: HistogramDataPoint,
        is_delta: bool,
        now: u64,
        rejected: &mut Rejected,
    ) {
        if has_no_value(point.flags) {
            return;
        }
        let (bounds, counts) = (point.explicit_bounds, point.bucket_counts);
        let fits = counts.is_empty() && bounds.is_empty() || counts.len() == bounds.len() + 1;
        let ordered = bounds.is_sorted() && bounds.iter().all(|bound| bound.is_finite());
        let sum = point.sum.unwrap_or_default();
        if !fits || !ordered || counts.len() > MOST_BUCKETS || !sum.is_finite() {
            return rejected.add(1, "a histogram's buckets are not what they have to be");
        }
        let said = Point {
            sum: Sum {
                value: sum,
                count: point.count,
            },
            buckets: counts,
            begun: point.start_time_unix_nano,
            at: point.time_unix_nano.min(now),
        };
        let attributes = Attributes::of(&point.attributes);
        self.take_point(
            id,
            name,
            attributes,
            &bounds,
            said,
            Some(is_delta),
            rejected,
        );
    }

    #[allow(clippy::too_many_arguments, reason = "it is one point, taken apart")]
    fn take_point(
        &mut self,
        id: &str,
        name: &str,
        attributes: Attributes,
        bounds: &[f64],
        said: Point,
        is_delta: Option<bool>,
        rejected: &mut Rejected,
    ) {
        self.first_read = Some(self.first_read.map_or(said.at, |first| first.min(said.at)));
        let key = (name.to_owned(), attributes);
        if !self.series.contains_key(&key) && self.series.len() >= MOST_SERIES {
            return rejected.add(1, "there are too many series");
        }
        let attributes = key.1.clone();
        let series = self.series.entry(key).or_default();
        let at = said.at;
        let gauge = is_delta.is_none().then_some(said.sum.value);
        let taken = match is_delta {
            None => series.set(id, said),
            Some(false) => series.set_total(id, said),
            Some(true) => series.add(id, said),
        };
        // One that came late says what is known by now.
        if let Some((gained, buckets, since)) = taken {
            let report = Report {
                name,
                attributes: &attributes,
                bounds,
                gained,
                buckets,
                since,
                at,
                gauge,
            };
            lines::note(&report, &mut self.history, &mut self.durations);
        }
    }

    fn forget_instances(&mut self) {
        while self.instances.len() > MOST_INSTANCES {
            let silent = self
                .instances
                .iter()
                .min_by_key(|(_, instance)| instance.heard_at)
                .map(|(id, _)| id.clone());
            let Some(silent) = silent else { return };
            self.instances.remove(&silent);
            for series in self.series.values_mut() {
                if let Some(point) = series.by_instance.remove(&silent)
                    && !series.is_gauge
                {
                    series.ended.add(point.sum);
                }
            }
        }
    }

    /// The processes that have sent metrics.
    pub(super) fn instances(&self) -> impl Iterator<Item = &Instance> {
        self.instances.values().filter(|it| it.heard_at > 0)
    }

    /// All series of a metric, with what they come to over all processes.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = (&Attributes, Sum)> {
        self.series
            .iter()
            .filter(move |((of, _), _)| of == name)
            .map(|((_, attributes), series)| (attributes, series.total()))
    }

    /// The metrics, and the attributes of their series.
    pub(super) fn names(&self) -> impl Iterator<Item = (&str, &Attributes)> {
        self.series
            .keys()
            .map(|(metric, attributes)| (metric.as_str(), attributes))
    }

    /// What a metric comes to, over the series that are wanted.
    pub(super) fn sum(&self, name: &str, wanted: impl Fn(&Attributes) -> bool) -> Sum {
        let mut sum = Sum::default();
        for (_, one) in self.all(name).filter(|(attributes, _)| wanted(attributes)) {
            sum.add(one);
        }
        sum
    }

    /// What a metric comes to by the values of one of its attributes.
    pub(super) fn by(&self, name: &str, attribute: &str) -> BTreeMap<String, Sum> {
        let mut sums: BTreeMap<String, Sum> = BTreeMap::new();
        for (attributes, one) in self.all(name) {
            let value = attributes.get(attribute).unwrap_or_default().to_owned();
            sums.entry(value).or_default().add(one);
        }
        sums
    }
}

type Taken = Option<(Sum, Vec<u64>, u64)>;

impl Series {
    /// Of a gauge.
    fn set(&mut self, id: &str, said: Point) -> Taken {
        self.is_gauge = true;
        let at = said.at;
        let known = self.by_instance.entry(id.to_owned()).or_default();
        if at < known.at {
            return None;
        }
        *known = said;
        Some((Sum::default(), Vec::new(), at))
    }

    /// Of what counts from the beginning of the process.
    fn set_total(&mut self, id: &str, said: Point) -> Taken {
        let known = self.by_instance.entry(id.to_owned()).or_default();
        if said.at < known.at {
            return None;
        }
        let begins_anew = said.begun > known.begun
            && (said.sum.count < known.sum.count || said.sum.value < known.sum.value);
        if begins_anew {
            self.ended.add(known.sum);
            *known = Point::default();
        }
        let gained = Sum {
            value: said.sum.value - known.sum.value,
            count: said.sum.count.saturating_sub(known.sum.count),
        };
        let buckets = match known.buckets.len() == said.buckets.len() {
            true => said
                .buckets
                .iter()
                .zip(&known.buckets)
                .map(|(now, before)| now.saturating_sub(*before))
                .collect(),
            false => said.buckets.clone(),
        };
        let since = if known.at > 0 { known.at } else { said.begun };
        *known = said;
        Some((gained, buckets, since))
    }

    /// Of what counts from one report to the next.
    fn add(&mut self, id: &str, said: Point) -> Taken {
        let known = self.by_instance.entry(id.to_owned()).or_default();
        known.sum.add(said.sum);
        known.at = known.at.max(said.at);
        Some((said.sum, said.buckets, said.begun))
    }

    /// Of a gauge the newest value, of anything else the sum.
    fn total(&self) -> Sum {
        if self.is_gauge {
            let newest = self.by_instance.values().max_by_key(|point| point.at);
            return newest.map_or_else(Sum::default, |point| point.sum);
        }
        let mut total = self.ended;
        for point in self.by_instance.values() {
            total.add(point.sum);
        }
        total
    }
}

fn is_delta(temporality: i32) -> bool {
    temporality == AggregationTemporality::Delta as i32
}

fn has_no_value(flags: u32) -> bool {
    flags & DataPointFlags::NoRecordedValueMask as u32 != 0
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
