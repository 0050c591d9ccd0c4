//! Times pairs of operations in turn, so that what disturbs the machine disturbs both alike.

use std::hint::black_box;

use crate::clock;

/// How many times each side of a pair is timed.
const ROUNDS: usize = 401;
/// The same for more than two, which may take long.
const TURNS: usize = 41;
/// How long one timing takes, about, in nanoseconds: so short that most are not interrupted.
const SLICE: f64 = 2e5;

/// The middle of some numbers, and what a twentieth of them lie below and above: on a busy machine the smallest and
/// the largest say what else ran.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    pub low: f64,
    pub median: f64,
    pub high: f64,
}

/// What timing two operations in turn came to: nanoseconds of each, and `second / first` of every round.
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    pub first: Spread,
    pub second: Spread,
    pub ratio: Spread,
}

impl Spread {
    pub fn of(mut numbers: Vec<f64>) -> Self {
        numbers.sort_by(f64::total_cmp);
        let last = numbers.len().saturating_sub(1);
        let at = |twentieths: usize| numbers.get(last * twentieths / 20).copied().unwrap_or(f64::NAN);
        Self { low: at(1), median: at(10), high: at(19) }
    }

    /// The same figure in another unit.
    pub fn scaled(self, by: f64) -> Self {
        Self { low: self.low * by, median: self.median * by, high: self.high * by }
    }
}

/// Nanoseconds of one `operation`; its result is kept from being optimised away.
pub fn time<T>(operation: impl FnMut() -> T) -> Spread {
    pair(operation, || ()).first
}

/// Times `first` and `second` in turn.
pub fn pair<A, B>(mut first: impl FnMut() -> A, mut second: impl FnMut() -> B) -> Pair {
    let (calls, other_calls) = (calls_per_slice(&mut first), calls_per_slice(&mut second));
    let (mut firsts, mut seconds, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        // Which one comes first changes, so that neither always finds the caches as the other left them.
        let (one, other) = if round % 2 == 0 {
            let one = per_call(calls, &mut first);
            (one, per_call(other_calls, &mut second))
        } else {
            let other = per_call(other_calls, &mut second);
            (per_call(calls, &mut first), other)
        };
        firsts.push(one);
        seconds.push(other);
        ratios.push(other / one);
    }
    Pair { first: Spread::of(firsts), second: Spread::of(seconds), ratio: Spread::of(ratios) }
}

/// Times several operations in turn: of each round, the nanoseconds of one call of each.
pub fn in_turn<const N: usize>(operations: [&mut dyn FnMut() -> usize; N]) -> Vec<[f64; N]> {
    let mut operations = operations.map(|mut operation| (calls_per_slice(&mut operation), operation));
    let mut rounds = Vec::new();
    for round in 0..TURNS {
        let mut nanoseconds = [0.0; N];
        for step in 0..N {
            // Another one comes first each time.
            let at = (round + step) % N;
            if let (Some((calls, operation)), Some(slot)) = (operations.get_mut(at), nanoseconds.get_mut(at))
            {
                *slot = per_call(*calls, operation);
            }
        }
        rounds.push(nanoseconds);
    }
    rounds
}

fn calls_per_slice<T>(operation: &mut impl FnMut() -> T) -> u32 {
    let mut calls = 1;
    loop {
        let nanoseconds = per_call(calls, operation) * f64::from(calls);
        if nanoseconds >= SLICE || calls >= 1 << 24 {
            return calls;
        }
        calls *= 2;
    }
}

fn per_call<T>(calls: u32, operation: &mut impl FnMut() -> T) -> f64 {
    let start = clock::instant();
    for _ in 0..calls {
        black_box(operation());
    }
    start.elapsed().as_secs_f64() * 1e9 / f64::from(calls)
}
