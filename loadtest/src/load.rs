//! Closed-loop load on one server: a fixed number of calls is always under way, and each answer starts the next call.
//! It knows how a window is measured; what a call looks like on the wire is known below it.

pub mod grpc;
pub mod http;

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures_util::future::try_join_all;
use hdrhistogram::Histogram;

use crate::{clock, cpu};

/// How long each measurement runs.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Load before anything is counted.
    pub warm_up: Duration,
    /// Load that is counted.
    pub length: Duration,
}

/// What one window showed.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Answered calls per second.
    pub throughput: f64,
    /// Call to answer, in microseconds.
    pub p50: f64,
    /// The 99th percentile, in microseconds.
    pub p99: f64,
    /// The 99.9th percentile, in microseconds.
    pub p999: f64,
    /// CPU of the server's process per call, in microseconds.
    pub cpu: f64,
}

/// The load of one window, counted while it is open.
pub struct Tally {
    open: Cell<bool>,
    latency: RefCell<Histogram<u64>>,
}

impl Tally {
    /// A window that is still closed.
    pub fn new() -> Result<Self> {
        let latency = Histogram::new_with_bounds(1, 60_000_000_000, 3)?;
        Ok(Self { open: Cell::new(false), latency: RefCell::new(latency) })
    }

    /// Counts a call that began at `begun` and ended at `ended`.
    fn count(&self, begun: Instant, ended: Instant) {
        if self.open.get() {
            let nanoseconds = u64::try_from((ended - begun).as_nanos()).unwrap_or(u64::MAX);
            self.latency.borrow_mut().saturating_record(nanoseconds);
        }
    }

    fn sample(&self, elapsed: Duration, cpu: Duration) -> Sample {
        let latency = self.latency.borrow();
        #[expect(clippy::cast_precision_loss, reason = "counts and nanoseconds far below 2^52")]
        let (calls, quantile) =
            (latency.len() as f64, |q: f64| latency.value_at_quantile(q) as f64 / 1_000.0);
        Sample {
            throughput: calls / elapsed.as_secs_f64(),
            p50: quantile(0.5),
            p99: quantile(0.99),
            p999: quantile(0.999),
            cpu: cpu.as_secs_f64() * 1e6 / calls.max(1.0),
        }
    }
}

/// Runs `connections` against the server that is process `pid` and measures one window of their calls. The first
/// call that is not answered with yes ends the measurement: a refusal is no figure.
pub async fn measure(
    window: Window,
    pid: u32,
    tally: &Tally,
    connections: impl IntoIterator<Item: Future<Output = Result<Infallible>>>,
) -> Result<Sample> {
    let measured = async {
        tokio::time::sleep(window.warm_up).await;
        tally.open.set(true);
        let (begun, cpu_before) = (clock::instant(), cpu::used(pid)?);
        tokio::time::sleep(window.length).await;
        tally.open.set(false);
        let (elapsed, cpu) = (begun.elapsed(), cpu::used(pid)?.saturating_sub(cpu_before));
        let sample = tally.sample(elapsed, cpu);
        if sample.throughput > 0.0 { Ok(sample) } else { Err(anyhow::anyhow!("no call was answered")) }
    };
    tokio::select! {
        sample = measured => sample,
        failure = try_join_all(connections) => match failure {
            Err(error) => Err(error).context("a call failed under load"),
            Ok(_) => Err(anyhow::anyhow!("no connection was asked for")),
        },
    }
}

#[cfg(test)]
mod tests;
