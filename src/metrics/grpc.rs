//! RPCs and their messages, as other gRPC servers count them.

use std::time::Duration;

use ::metrics::{Counter, Histogram, Recorder as _, Unit};
use metrics_exporter_prometheus::PrometheusRecorder;

use super::{Metrics, Service, counter, histogram};

/// What every call touches: found by index, not by hash.
pub(super) struct Instruments {
    started: Counter,
    handling: Histogram,
    /// RPCs that ended with OK; other codes are too rare to keep a handle.
    handled_ok: Counter,
    received: Counter,
    sent: Counter,
}

/// The names that gRPC has for a service and its one method.
fn names(service: Service) -> (&'static str, &'static str) {
    match service {
        Service::ExtAuthz => ("envoy.service.auth.v3.Authorization", "Check"),
        Service::ExtProc => ("envoy.service.ext_proc.v3.ExternalProcessor", "Process"),
    }
}

impl Instruments {
    pub fn register(recorder: &PrometheusRecorder, service: Service) -> Self {
        let (name, method) = names(service);
        let labels = [("grpc_service", name), ("grpc_method", method)];
        Self {
            started: counter(recorder, "grpc_server_started_total", &labels),
            handling: histogram(recorder, "grpc_server_handling_seconds", &labels),
            handled_ok: handled(recorder, service, "OK"),
            received: counter(recorder, "grpc_server_msg_received_total", &labels),
            sent: counter(recorder, "grpc_server_msg_sent_total", &labels),
        }
    }
}

fn handled(recorder: &PrometheusRecorder, service: Service, code: &'static str) -> Counter {
    let (name, method) = names(service);
    let labels = [("grpc_service", name), ("grpc_method", method), ("grpc_code", code)];
    counter(recorder, "grpc_server_handled_total", &labels)
}

pub(super) fn describe(recorder: &PrometheusRecorder) {
    let counters = [
        ("grpc_server_started_total", "RPCs started"),
        ("grpc_server_handled_total", "RPCs completed, by status code"),
        ("grpc_server_msg_received_total", "Messages received"),
        ("grpc_server_msg_sent_total", "Messages sent"),
    ];
    for (name, text) in counters {
        recorder.describe_counter(name.into(), Some(Unit::Count), text.into());
    }
    let handling = "grpc_server_handling_seconds";
    recorder.describe_histogram(handling.into(), Some(Unit::Seconds), "Time to handle an RPC".into());
}

impl Metrics {
    pub fn grpc_started(&self, service: Service) {
        self.of(service).grpc.started.increment(1);
    }

    pub fn grpc_received(&self, service: Service) {
        self.of(service).grpc.received.increment(1);
    }

    pub fn grpc_sent(&self, service: Service) {
        self.of(service).grpc.sent.increment(1);
    }

    /// An RPC ended with `code`, the name of a gRPC status code.
    pub fn grpc_handled(&self, service: Service, code: &'static str, took: Duration) {
        let instruments = &self.of(service).grpc;
        match code {
            "OK" => instruments.handled_ok.increment(1),
            _ => handled(&self.0.recorder, service, code).increment(1),
        }
        instruments.handling.record(took.as_secs_f64());
    }
}
