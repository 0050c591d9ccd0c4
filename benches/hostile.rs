//! What hostile expressions cost before they are refused or stopped: the time and the most bytes held at once, to load
//! and to evaluate each. Run it with `cargo bench --bench hostile`.

use std::process::ExitCode;

use allocation_counter::measure;
use portcullis::clock;
use portcullis::identity::Identity;
use portcullis::policy::cel::{Environment, Expression};

#[path = "hostile/cases.rs"]
mod cases;

/// How often each is timed. The table shows the quickest: the others tell what else the machine did.
const ROUNDS: usize = 25;

fn main() -> ExitCode {
    let (request, identity) = (cases::request(), Identity::anonymous());
    let scope = cases::scope(&request, &identity);
    println!("{:<48} {:>9} {:>10} {:>10} {:>10} {:>10}", "", "", "load us", "load KB", "eval us", "eval KB");
    let (mut slowest, mut largest) = (0.0_f64, 0.0_f64);
    for case in cases::cases() {
        let outcome = cases::run(&case.text, &scope);
        let load = || drop(Expression::compile(&case.text, &Environment::default()));
        let (load_us, load_kb) = (quickest(load), kilobytes(load));
        let compiled = Expression::compile(&case.text, &Environment::default()).ok();
        let evaluate = || {
            if let Some(expression) = &compiled {
                let _ = expression.holds(&scope);
            }
        };
        let (eval_us, eval_kb) = (quickest(evaluate), kilobytes(evaluate));
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

/// Microseconds of one run, the quickest of some.
fn quickest(run: impl Fn()) -> f64 {
    let timed = || {
        let began = clock::instant();
        run();
        began.elapsed().as_secs_f64() * 1e6
    };
    (0..ROUNDS).map(|_| timed()).fold(f64::INFINITY, f64::min)
}

/// The most that was held at once, in kilobytes.
#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn kilobytes(run: impl Fn()) -> f64 {
    measure(run).bytes_max as f64 / 1_024.0
}
