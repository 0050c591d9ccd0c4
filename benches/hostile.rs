//! What hostile expressions cost before they are refused or stopped: the time and the most bytes held at once, to load
//! and to evaluate each. Run it with `cargo bench --bench hostile`.

use std::process::ExitCode;

use allocation_counter::measure;
use portcullis::clock;
use portcullis::identity::Identity;
use portcullis::policy::cel::{Environment, Expression};

#[path = "hostile/cases.rs"]
mod cases;

/// How often each is timed; the table shows the middle.
const ROUNDS: usize = 9;

fn main() -> ExitCode {
    let (request, identity) = (cases::request(), Identity::anonymous());
    let scope = cases::scope(&request, &identity);
    println!("{:<48} {:>9} {:>10} {:>10} {:>10} {:>10}", "", "", "load us", "load KB", "eval us", "eval KB");
    let (mut slowest, mut largest) = (0.0_f64, 0.0_f64);
    for case in cases::cases() {
        let outcome = cases::run(&case.text, &scope);
        let load = || drop(Expression::compile(&case.text, &Environment::default()));
        let (load_us, load_kb) = (middle(load), kilobytes(load));
        let compiled = Expression::compile(&case.text, &Environment::default()).ok();
        let evaluate = || {
            if let Some(expression) = &compiled {
                let _ = expression.holds(&scope);
            }
        };
        let (eval_us, eval_kb) = (middle(evaluate), kilobytes(evaluate));
        slowest = slowest.max(load_us).max(eval_us);
        largest = largest.max(load_kb).max(eval_kb);
        println!(
            "{:<48} {:>9} {load_us:>10.1} {load_kb:>10.1} {eval_us:>10.1} {eval_kb:>10.1}",
            case.name,
            format!("{outcome:?}").to_lowercase()
        );
    }
    println!("{:<48} {:>9} {slowest:>10.1} us {largest:>7.1} KB", "the dearest", "");
    ExitCode::SUCCESS
}

/// Microseconds of one run, the middle of some.
fn middle(run: impl Fn()) -> f64 {
    let mut times: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let began = clock::instant();
            run();
            began.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times.get(ROUNDS / 2).copied().unwrap_or(f64::NAN)
}

/// The most that was held at once, in kilobytes.
#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn kilobytes(run: impl Fn()) -> f64 {
    measure(run).bytes_max as f64 / 1_024.0
}
