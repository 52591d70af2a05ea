//! Telemetry as a handler would send it, made of the official protobuf types.

#![allow(clippy::unwrap_used)]

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

pub(super) const SECOND: u64 = 1_000_000_000;

pub(super) fn pairs(attributes: &[(&str, &str)]) -> Vec<KeyValue> {
    attributes
        .iter()
        .map(|(key, value)| KeyValue {
            key: (*key).to_owned(),
            value: Some(AnyValue {
                value: Some(Value::StringValue((*value).to_owned())),
            }),
            ..KeyValue::default()
        })
        .collect()
}

fn resource(instance: &str) -> Option<Resource> {
    Some(Resource {
        attributes: pairs(&[
            ("service.name", "drone-delivery"),
            ("service.instance.id", instance),
            ("faas.instance", &format!("worker-{instance}")),
        ]),
        ..Resource::default()
    })
}

/// What an instance sends at once.
pub(super) fn metrics(instance: &str, metrics: Vec<Metric>) -> ExportMetricsServiceRequest {
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: resource(instance),
            scope_metrics: vec![ScopeMetrics {
                metrics,
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    }
}

fn metric(name: &str, data: Data) -> Metric {
    Metric {
        name: name.to_owned(),
        data: Some(data),
        ..Metric::default()
    }
}

fn number(attributes: &[(&str, &str)], value: f64, begun: u64, at: u64) -> NumberDataPoint {
    NumberDataPoint {
        attributes: pairs(attributes),
        start_time_unix_nano: begun,
        time_unix_nano: at,
        value: Some(Number::AsDouble(value)),
        ..NumberDataPoint::default()
    }
}

pub(super) fn counter(
    name: &str,
    attributes: &[(&str, &str)],
    value: f64,
    (begun, at): (u64, u64),
) -> Metric {
    let sum = Sum {
        data_points: vec![number(attributes, value, begun, at)],
        aggregation_temporality: AggregationTemporality::Cumulative as i32,
        is_monotonic: true,
    };
    metric(name, Data::Sum(sum))
}

pub(super) fn delta(
    name: &str,
    attributes: &[(&str, &str)],
    value: f64,
    (begun, at): (u64, u64),
) -> Metric {
    let sum = Sum {
        data_points: vec![number(attributes, value, begun, at)],
        aggregation_temporality: AggregationTemporality::Delta as i32,
        is_monotonic: true,
    };
    metric(name, Data::Sum(sum))
}

pub(super) fn gauge(name: &str, attributes: &[(&str, &str)], value: f64, at: u64) -> Metric {
    let gauge = Gauge {
        data_points: vec![number(attributes, value, 0, at)],
    };
    metric(name, Data::Gauge(gauge))
}

/// Buckets end at 10 ms, 100 ms and 1 s.
pub(super) fn histogram(
    name: &str,
    attributes: &[(&str, &str)],
    counts: [u64; 4],
    (begun, at): (u64, u64),
) -> Metric {
    let count: u64 = counts.iter().sum();
    let histogram = Histogram {
        data_points: vec![HistogramDataPoint {
            attributes: pairs(attributes),
            start_time_unix_nano: begun,
            time_unix_nano: at,
            count,
            sum: Some(count as f64 / 100.0),
            bucket_counts: counts.to_vec(),
            explicit_bounds: vec![0.01, 0.1, 1.0],
            ..HistogramDataPoint::default()
        }],
        aggregation_temporality: AggregationTemporality::Cumulative as i32,
    };
    metric(name, Data::Histogram(histogram))
}

/// A span of trace `trace`, numbered within it; a parent of 0 is none.
pub(super) fn span(trace: u8, id: u8, parent: u8, name: &str, (began, took): (u64, u64)) -> Span {
    let parent = match parent {
        0 => Vec::new(),
        parent => vec![parent; 8],
    };
    Span {
        trace_id: vec![trace; 16],
        span_id: vec![id; 8],
        parent_span_id: parent,
        name: name.to_owned(),
        kind: SpanKind::Internal as i32,
        start_time_unix_nano: began,
        end_time_unix_nano: began + took,
        ..Span::default()
    }
}

pub(super) fn client(mut span: Span) -> Span {
    span.kind = SpanKind::Client as i32;
    span
}

pub(super) fn call(mut span: Span, partition: &str) -> Span {
    span.attributes = pairs(&[
        ("faas.name", &span.name.clone()),
        ("messaging.destination.partition.id", partition),
    ]);
    span
}

pub(super) fn failed(mut span: Span) -> Span {
    span.status = Some(Status {
        code: StatusCode::Error as i32,
        message: "it broke".to_owned(),
    });
    span
}

pub(super) fn linked(mut span: Span, trace: u8, id: u8) -> Span {
    span.links.push(Link {
        trace_id: vec![trace; 16],
        span_id: vec![id; 8],
        ..Link::default()
    });
    span
}

/// What an instance sends at once.
pub(super) fn spans(instance: &str, spans: Vec<Span>) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: resource(instance),
            scope_spans: vec![ScopeSpans {
                spans,
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    }
}
