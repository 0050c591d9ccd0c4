//! Prints the steps of the tour, and remembers what went wrong.

use std::fmt::{Debug, Display};

use anstream::println;
use anstyle::{AnsiColor, Style};

use super::call::Got;

const HEADING: Style = Style::new().bold();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
/// Longer lines are cut in the output.
const WIDTH: usize = 400;

#[derive(Debug, Default)]
pub(super) struct Report {
    steps: usize,
    /// The step and what it got wrong.
    failures: Vec<String>,
}

impl Report {
    pub(super) fn step(&mut self, title: &str) {
        self.steps += 1;
        println!("\n{HEADING}{}. {title}{HEADING:#}", self.steps);
    }

    pub(super) fn show(&self, line: &str) {
        let shown: String = line.chars().take(WIDTH).collect();
        let cut = if shown.len() < line.len() { " ..." } else { "" };
        println!("   {shown}{cut}");
    }

    pub(super) fn got(&self, got: &Got) {
        let mut lines = got.body.lines();
        self.show(&format!("{} {}", got.status, lines.next().unwrap_or_default()));
        lines.filter(|line| !line.is_empty()).for_each(|line| self.show(&format!("    {line}")));
    }

    pub(super) fn status(&mut self, got: &Got, expected: u16) {
        self.equals("status", expected, got.status);
    }

    pub(super) fn equals<T: PartialEq + Display>(&mut self, what: &str, expected: T, got: T) {
        let right = expected == got;
        self.check(right, &format!("{what}: {got}"), &format!("{what}: expected {expected}, got {got}"));
    }

    pub(super) fn contains(&mut self, got: &Got, wanted: &str) {
        let problem = format!("expected `{wanted}` in the answer, got: {}", got.body);
        self.check(got.body.contains(wanted), &format!("says `{wanted}`"), &problem);
    }

    /// None of `secrets`. They are not printed.
    pub(super) fn lacks(&mut self, text: &str, secrets: &[&str]) {
        let shown = secrets.iter().filter(|secret| text.contains(**secret)).count();
        let problem = format!("expected none of {} secrets, got {shown} of them", secrets.len());
        self.check(shown == 0, "shows nothing that has to stay hidden", &problem);
    }

    /// The tour can't go on.
    pub(super) fn broken_off(&mut self, error: &anyhow::Error) {
        self.check(false, "", &format!("the tour ends here: {error:#}"));
    }

    /// The last words. True when nothing went wrong.
    pub(super) fn finish(&self) -> bool {
        if self.failures.is_empty() {
            println!("\n{GOOD}All {} steps did what they say.{GOOD:#}", self.steps);
        } else {
            println!("\n{BAD}{} checks failed:{BAD:#}", self.failures.len());
            self.failures.iter().for_each(|failure| self.show(failure));
        }
        self.failures.is_empty()
    }

    fn check(&mut self, right: bool, success: &str, problem: &str) {
        if right {
            println!("   {GOOD}ok{GOOD:#} {success}");
        } else {
            println!("   {BAD}WRONG{BAD:#} {problem}");
            self.failures.push(format!("step {}: {problem}", self.steps));
        }
    }
}
