//! How fast bodies are masked, beside a scan that only validates and beside libraries that parse and write. Run it with
//! `make bench`.

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;

use portcullis_mask::{Detect, FieldPath, Format, HashKey, Kind, Limits, Masker, Method, Plan, Rule};
use serde::de::IgnoredAny;

#[path = "mask/corpus.rs"]
mod corpus;
#[path = "mask/libraries.rs"]
mod libraries;
#[allow(dead_code, reason = "other benchmarks use the rest")]
#[path = "../../benches/measure.rs"]
mod measure;
#[allow(dead_code, reason = "other benchmarks use the rest")]
#[path = "../../benches/report.rs"]
mod report;

use corpus::Document;
use libraries::Kept;
use measure::{Spread, in_turn};
use report::Report;

/// The bytes of a chunk: what Envoy hands on at a time, about.
const CHUNK: usize = 64 << 10;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// The processor's time of this thread: what else the machine does is not counted.
mod clock {
    use std::time::Duration;

    use rustix::time::{ClockId, Timespec, clock_gettime};

    pub struct Start(Timespec);

    pub fn instant() -> Start {
        Start(clock_gettime(ClockId::ThreadCPUTime))
    }

    impl Start {
        pub fn elapsed(&self) -> Duration {
            Duration::try_from(clock_gettime(ClockId::ThreadCPUTime) - self.0).unwrap_or_default()
        }
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Who takes part, in the order of the columns of `Lap`.
const NAMES: [&str; 6] = ["mask", "ignored_any", "serde_json", "sonic_rs", "simd_json", "detect"];

/// What is looked for beside the field rules.
const KINDS: [Kind; 7] =
    [Kind::Card, Kind::Iban, Kind::Ssn, Kind::Email, Kind::Phone, Kind::Ip, Kind::ApiKey];

/// Masks a body by way of a library, into the buffer that it is given; returns how many bytes came out.
type Library = fn(&[u8], &mut Kept) -> Outcome<usize>;

/// Nanoseconds of a byte, of each one, in one round.
type Lap = [f64; NAMES.len()];

fn run() -> Outcome<()> {
    let rules: Vec<_> = libraries::rules()?.into_iter().map(Arc::new).collect();
    let key = HashKey::new(&[7; 32])?;
    let plan = Arc::new(Plan::compile(&rules, &key));
    let looked_for = Arc::new(Detect::known(&KINDS)?);
    let looking = Rule::looking(FieldPath::everything(), looked_for, Method::redact());
    let looking = Arc::new(Plan::compile(&[&rules[..], &[Arc::new(looking)]].concat(), &key));
    let mut report = Report::new();
    let mut total: Vec<Lap> = Vec::new();
    let documents = corpus::documents();
    #[expect(clippy::cast_precision_loss, reason = "a handful")]
    let count = documents.len() as f64;
    for document in documents {
        let laps = laps(&plan, &looking, &document)?;
        show(&mut report, &format!("_{}", document.name), document.what, &laps);
        total.resize(laps.len(), Lap::default());
        for (sum, lap) in total.iter_mut().zip(&laps) {
            sum.iter_mut().zip(lap).for_each(|(sum, nanoseconds)| *sum += nanoseconds / count);
        }
    }
    show(&mut report, "", "a byte of each", &total);
    Ok(report.finish()?)
}

/// Times everybody on a document, in turn.
fn laps(plan: &Arc<Plan>, looking: &Arc<Plan>, document: &Document) -> Outcome<Vec<Lap>> {
    agree(plan, document)?;
    let bytes: usize = document.bodies.iter().map(Vec::len).sum();
    let library = |masked: Library| {
        let (bodies, mut kept) = (&document.bodies, Kept::default());
        move || {
            let mut mask = |body| masked(black_box(body), &mut kept).inspect(|_| _ = black_box(&kept.out));
            bodies.iter().map(|body| mask(body).unwrap_or_default()).sum::<usize>()
        }
    };
    let scan = |body: &Vec<u8>| usize::from(serde_json::from_slice::<IgnoredAny>(black_box(body)).is_ok());
    let (mut out, mut looked) = (Vec::new(), Vec::new());
    let laps = in_turn([
        &mut || document.bodies.iter().map(|body| mask(plan, body, &mut out)).sum(),
        &mut || document.bodies.iter().map(scan).sum(),
        &mut library(libraries::serde_json),
        &mut library(libraries::sonic_rs),
        &mut library(libraries::simd_json),
        &mut || document.bodies.iter().map(|body| mask(looking, body, &mut looked)).sum(),
    ]);
    #[expect(clippy::cast_precision_loss, reason = "megabytes")]
    let by_byte = |lap: Lap| lap.map(|nanoseconds| nanoseconds / bytes as f64);
    Ok(laps.into_iter().map(by_byte).collect())
}

/// Masks a body in chunks; how many bytes came out, 0 when it can't be masked.
fn mask(plan: &Arc<Plan>, body: &[u8], out: &mut Vec<u8>) -> usize {
    let mut masker = Masker::new(plan.clone(), Format::Json, Limits::default());
    let mut bytes = 0;
    for chunk in body.chunks(CHUNK) {
        out.clear();
        if masker.push(black_box(chunk), out).is_err() {
            return 0;
        }
        bytes += black_box(&out).len();
    }
    out.clear();
    if masker.finish(out).is_err() { 0 } else { bytes + out.len() }
}

/// All must say the same, or they are not to be compared.
fn agree(plan: &Arc<Plan>, document: &Document) -> Outcome<()> {
    for body in &document.bodies {
        let mut masker = Masker::new(plan.clone(), Format::Json, Limits::default());
        let mut ours = Vec::new();
        masker.push(body, &mut ours)?;
        masker.finish(&mut ours)?;
        let ours: serde_json::Value = serde_json::from_slice(&ours)?;
        let libraries: [Library; 3] = [libraries::serde_json, libraries::sonic_rs, libraries::simd_json];
        for (library, name) in libraries.iter().zip(["serde_json", "sonic_rs", "simd_json"]) {
            let mut kept = Kept::default();
            library(body, &mut kept)?;
            if serde_json::from_slice::<serde_json::Value>(&kept.out)? != ours {
                return Err(format!("{name} masks `{}` in another way", document.name).into());
            }
        }
    }
    Ok(())
}

fn show(report: &mut Report, suffix: &str, what: &str, laps: &[Lap]) {
    let spread = |figure: &dyn Fn(&Lap) -> f64| Spread::of(laps.iter().map(figure).collect());
    report.add(
        &format!("{what}, MB/s"),
        &format!("mask_json_mb_s{suffix}"),
        spread(&|[ours, ..]| 1e3 / ours),
    );
    let of_scan = |[ours, scan, ..]: &Lap| scan / ours;
    report.add(
        "  times a scan that only validates",
        &format!("mask_json_vs_ignored_any{suffix}"),
        spread(&of_scan),
    );
    let of_best =
        |[ours, _, libraries @ .., _]: &Lap| libraries.iter().copied().fold(f64::INFINITY, f64::min) / ours;
    report.add(
        "  times the fastest library",
        &format!("mask_json_vs_best_library{suffix}"),
        spread(&of_best),
    );
    report.add(
        "  with seven detectors, times as without",
        &format!("mask_detect_vs_json{suffix}"),
        spread(&|[ours, .., looking]| ours / looking),
    );
    let others: Vec<String> = (1..NAMES.len())
        .map(|at| {
            let median = spread(&|lap| lap.get(at).map_or(f64::NAN, |nanoseconds| 1e3 / nanoseconds)).median;
            format!("{} {median:.0}", NAMES.get(at).copied().unwrap_or_default())
        })
        .collect();
    println!("{what}, MB/s: {}", others.join(", "));
}
