//! What a benchmark found, as a table for people and by name in `target/report/bench.json` for programs.

use std::fs;
use std::path::Path;

use comfy_table::{CellAlignment, LineStyle, Table, presets};
use serde_json::{Map, Number, Value};

use crate::measure::Spread;

const FILE: &str = "target/report/bench.json";

/// Figures in the order in which they were found.
pub struct Report {
    table: Table,
    numbers: Map<String, Value>,
}

impl Report {
    pub fn new() -> Self {
        let mut table = Table::new();
        table.load_style(presets::UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none()));
        table.set_header(["what", "name", "5 %", "median", "95 %"]);
        for column in table.column_iter_mut().skip(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        Self { table, numbers: Map::new() }
    }

    /// Adds a figure as `name`: its median counts, its spread is shown.
    pub fn add(&mut self, what: &str, name: &str, figure: Spread) {
        let shown = |number: f64| match number.abs() {
            big if big >= 100.0 => format!("{number:.0}"),
            middle if middle >= 10.0 => format!("{number:.1}"),
            _ => format!("{number:.3}"),
        };
        let Spread { low, median, high } = figure;
        self.table.add_row([what.to_owned(), name.to_owned(), shown(low), shown(median), shown(high)]);
        self.number(name, median);
    }

    /// Adds a number that does not vary, such as a count.
    pub fn add_count(&mut self, what: &str, name: &str, count: u64) {
        let row = [what.to_owned(), name.to_owned(), String::new(), count.to_string(), String::new()];
        self.table.add_row(row);
        self.numbers.insert(name.to_owned(), count.into());
    }

    fn number(&mut self, name: &str, number: f64) {
        let rounded = (number * 1e4).round() / 1e4;
        self.numbers.insert(name.to_owned(), Number::from_f64(rounded).map_or(Value::Null, Value::Number));
    }

    /// Prints the table, and puts the numbers into the file beside those of other benchmarks.
    pub fn finish(self) -> Result<(), std::io::Error> {
        println!("{}", self.table);
        // A member of the workspace has no `target` of its own.
        let mut folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
        let root = folders.find(|folder| folder.join("Cargo.lock").exists()).unwrap_or(Path::new("."));
        let path = &root.join(FILE);
        let old =
            fs::read(path).ok().and_then(|text| serde_json::from_slice::<Map<String, Value>>(&text).ok());
        let mut all = old.unwrap_or_default();
        all.extend(self.numbers);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, format!("{:#}\n", Value::Object(all)))?;
        println!("{FILE}");
        Ok(())
    }
}
