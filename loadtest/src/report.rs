//! What a run found: the figures and ratios by name, as a table for people and a flat JSON object for programs. It
//! knows what the figures are called, and not how they were measured.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use comfy_table::{CellAlignment, LineStyle, Table, presets};
use serde_json::{Map, Number, Value};

use crate::lane::{Label, Measured};
use crate::load::Sample;

/// Everything a run found.
pub struct Report {
    lanes: Table,
    ratios: Table,
    shares: Vec<String>,
    numbers: Map<String, Value>,
    prefix: &'static str,
}

/// The smallest, the middle and the largest of some numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub min: f64,
    pub median: f64,
    pub max: f64,
}

/// A figure of a sample, by the name that ratios of it carry.
type Figure = (&'static str, fn(&Sample) -> f64);

const CPU: Figure = ("cpu", |sample| sample.cpu);
const THROUGHPUT: Figure = ("throughput", |sample| sample.throughput);
const P99: Figure = ("p99", |sample| sample.p99);

impl Report {
    /// An empty report, whose names begin with `prefix`.
    pub fn new(prefix: &'static str) -> Self {
        let lanes = [
            "path", "server", "request", "policies", "audit", "calls/s", "p50 us", "p99 us", "p99.9 us",
            "CPU us", "busy %",
        ];
        let ratios = ["ratio", "request", "policies", "audit", "min", "median", "max"];
        Self {
            lanes: table(&lanes, 5),
            ratios: table(&ratios, 4),
            shares: Vec::new(),
            numbers: Map::new(),
            prefix,
        }
    }

    /// Adds a number that is no measurement, such as the size of the policy set.
    pub fn add_condition(&mut self, name: &str, value: usize) {
        self.numbers.insert(format!("{}{name}", self.prefix), value.into());
    }

    /// Adds the figures of a lane as `name`: medians over the rounds.
    pub fn add_lane(&mut self, name: &str, lane: &Measured) {
        let median = |figure: fn(&Sample) -> f64| Spread::of(lane.samples.iter().map(figure)).median;
        let figures = [
            ("throughput", median(|sample| sample.throughput), 0),
            ("p50_us", median(|sample| sample.p50), 0),
            ("p99_us", median(|sample| sample.p99), 0),
            ("p999_us", median(|sample| sample.p999), 0),
            ("cpu_us", median(|sample| sample.cpu), 2),
            // Of one core: well below 100, it was not the server that set the pace.
            ("busy_percent", median(|sample| sample.throughput * sample.cpu / 1e4), 0),
        ];
        let Label { path, server, request, .. } = &lane.label;
        let [policies, audit] = conditions(&lane.label);
        let mut row = vec![(*path).to_owned(), (*server).to_owned(), request.clone(), policies, audit];
        row.extend(figures.map(|(_, figure, digits)| format!("{figure:.digits$}")));
        self.lanes.add_row(row);
        for (what, figure, _) in figures {
            self.number(&format!("{name}_{what}"), figure);
        }
    }

    /// Adds what `lane` costs beside the null server, as `NAME_cpu_vs_null` and the like.
    pub fn add_versus_null(&mut self, name: &str, lane: &Measured, null: &Measured) {
        for figure in [CPU, THROUGHPUT, P99] {
            self.add_ratio(name, figure, lane, ("null", null));
        }
    }

    /// Adds the CPU that `lane` costs beside another lane, as `NAME_cpu_vs_OTHER`.
    pub fn add_cpu_ratio(&mut self, name: &str, lane: &Measured, other: (&str, &Measured)) {
        self.add_ratio(name, CPU, lane, other);
    }

    /// Adds a share of the calls, which the table shows in per cent.
    pub fn add_share(&mut self, name: &str, share: f64) {
        self.shares.push(format!("{}{name}: {:.2} %", self.prefix, share * 100.0));
        self.number(name, share);
    }

    fn add_ratio(&mut self, name: &str, figure: Figure, lane: &Measured, other: (&str, &Measured)) {
        let ((what, of), (other_name, other)) = (figure, other);
        let spread =
            Spread::of(lane.samples.iter().zip(&other.samples).map(|(ours, theirs)| of(ours) / of(theirs)));
        let name = format!("{name}_{what}_vs_{other_name}");
        let [policies, audit] = conditions(&lane.label);
        let mut row = vec![format!("{}{name}", self.prefix), lane.label.request.clone(), policies, audit];
        row.extend([spread.min, spread.median, spread.max].map(|ratio| format!("{ratio:.2}")));
        self.ratios.add_row(row);
        self.number(&name, spread.median);
        self.number(&format!("{name}_min"), spread.min);
        self.number(&format!("{name}_max"), spread.max);
    }

    fn number(&mut self, name: &str, value: f64) {
        // A ratio to nothing is no number; null says so.
        let value = Number::from_f64(value).map_or(Value::Null, Value::Number);
        self.numbers.insert(format!("{}{name}", self.prefix), value);
    }

    /// The tables.
    pub fn print(&self) {
        println!(
            "Medians over the rounds. CPU is the server's, per call; busy is its share of one core.\n{}\n",
            self.lanes
        );
        println!("Ratios within each round, and their spread over the rounds.\n{}", self.ratios);
        self.shares.iter().for_each(|share| println!("{share}"));
    }

    /// Writes the numbers to the file at `path`.
    pub fn write(&self, path: &Path) -> Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(|| format!("cannot create `{}`", folder.display()))?;
        }
        let mut text = serde_json::to_string_pretty(&self.numbers)?;
        text.push('\n');
        fs::write(path, text).with_context(|| format!("cannot write `{}`", path.display()))
    }
}

impl Spread {
    /// The spread of `numbers`; of none, it is no number.
    pub fn of(numbers: impl Iterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = numbers.collect();
        sorted.sort_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
        let middle = sorted.len() / 2;
        let median =
            if sorted.len() % 2 == 1 { at(middle) } else { (at(middle.wrapping_sub(1)) + at(middle)) / 2.0 };
        Self { min: at(0), median, max: at(sorted.len().wrapping_sub(1)) }
    }
}

/// The number that so many per cent of `numbers` do not exceed; of none, it is no number.
pub fn percentile(numbers: &[f64], percent: usize) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

fn conditions(label: &Label) -> [String; 2] {
    let none = || "-".to_owned();
    [label.policies.map_or_else(none, |count| count.to_string()), label.audit.clone().unwrap_or_else(none)]
}

/// A table with these columns, of which the first `words` hold text and the others numbers.
pub fn table(columns: &[&str], words: usize) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none())).set_header(columns);
    for column in table.column_iter_mut().skip(words) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(server: &'static str, figures: &[(f64, f64)]) -> Measured {
        let label = Label {
            path: "gRPC",
            server,
            request: "anonymous".into(),
            policies: Some(1_000),
            audit: Some("required".into()),
        };
        let sample =
            |&(throughput, cpu): &(f64, f64)| Sample { throughput, p50: 1.0, p99: 2.0, p999: 3.0, cpu };
        Measured { label, samples: figures.iter().map(sample).collect() }
    }

    #[test]
    fn ratios_are_taken_within_rounds() {
        let null = lane("null", &[(100.0, 10.0), (50.0, 20.0), (200.0, 5.0)]);
        let ours = lane("portcullis", &[(50.0, 15.0), (50.0, 24.0), (180.0, 9.0)]);
        let mut report = Report::new("");
        report.add_lane("check", &ours);
        report.add_versus_null("check", &ours, &null);
        report.add_condition("policies", 1_000);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("report/load.json");
        report.write(&path).unwrap();
        let written: Map<String, Value> = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        for (name, expected) in [
            ("check_cpu_us", 15.0),
            ("check_throughput", 50.0),
            ("check_cpu_vs_null", 1.5),
            ("check_cpu_vs_null_min", 1.2),
            ("check_cpu_vs_null_max", 1.8),
            ("check_throughput_vs_null", 0.9),
            ("check_p99_vs_null", 1.0),
            ("policies", 1_000.0),
        ] {
            assert_eq!(written[name].as_f64(), Some(expected), "{name}");
        }
    }

    #[test]
    fn conditions_stand_beside_every_figure() {
        let mut report = Report::new("self_");
        report.add_lane("check", &lane("portcullis", &[(1.0, 1.0)]));
        report.add_cpu_ratio(
            "check_jwt",
            &lane("a", &[(1.0, 3.0)]),
            ("anonymous", &lane("b", &[(1.0, 2.0)])),
        );
        for table in [&report.lanes, &report.ratios] {
            let table = table.to_string();
            assert!(["anonymous", "1000", "required"].iter().all(|word| table.contains(word)), "{table}");
        }
        assert!(report.ratios.to_string().contains("self_check_jwt_cpu_vs_anonymous"));
        assert!(report.ratios.to_string().contains("1.50"));
    }

    #[test]
    fn percentiles_are_numbers_that_were_measured() {
        let numbers: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        for (percent, expected) in [(0, 1.0), (50, 100.0), (99, 198.0), (100, 200.0)] {
            assert_eq!(percentile(&numbers, percent), expected);
        }
        assert!(percentile(&[], 50).is_nan());
    }

    #[test]
    fn spreads() {
        let spread = |numbers: &[f64]| Spread::of(numbers.iter().copied());
        assert_eq!(spread(&[3.0, 1.0, 2.0]), Spread { min: 1.0, median: 2.0, max: 3.0 });
        assert_eq!(spread(&[4.0, 1.0]), Spread { min: 1.0, median: 2.5, max: 4.0 });
        assert_eq!(spread(&[7.0]), Spread { min: 7.0, median: 7.0, max: 7.0 });
        assert!(spread(&[]).median.is_nan());
    }
}
