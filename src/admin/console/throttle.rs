//! How often anybody may try to log in: from one address, and all together.
//!
//! Whoever has logged in before shows a cookie of their own and is counted by that alone, so that a flood of strangers,
//! also one from behind the same proxy, locks no known browser out. What is refused costs nothing, so nobody waits
//! longer than it takes to earn the next attempt. No account is ever locked.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use moka::sync::Cache;
use parking_lot::Mutex;

use crate::metrics::ConsoleLogin;

/// Attempts at once, and how long it takes to earn one more.
#[derive(Clone, Copy, Debug)]
struct Allowance {
    burst: i64,
    every: Duration,
}

const OF_ONE: Allowance = Allowance { burst: 20, every: Duration::from_secs(3) };
const IN_ALL: Allowance = Allowance { burst: 200, every: Duration::from_millis(100) };

/// What a guess at the one-time token costs, in attempts.
pub const GUESS: i64 = 5;

/// Addresses, and browsers, that are remembered. Whoever is forgotten has all of their attempts, as far as all together
/// have some left.
const REMEMBERED: u64 = 20_000;

/// Who tries.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// One that has logged in before, or is logged in, by the id that was sealed into its cookie.
    Browser(String),
    Address(IpAddr),
}

impl Source {
    /// An IPv6 address stands for its network: a host has as many as it likes.
    pub fn address(address: Option<IpAddr>) -> Self {
        let address = address.map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |address| address.to_canonical());
        Self::Address(match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & (u128::MAX << 64)).into()),
        })
    }
}

/// Which limit was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    Address,
    Browser,
    All,
}

impl Limit {
    pub fn counted(self) -> ConsoleLogin {
        match self {
            Self::Address => ConsoleLogin::TooManyFromAddress,
            Self::Browser => ConsoleLogin::TooManyFromBrowser,
            Self::All => ConsoleLogin::TooManyInAll,
        }
    }
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Address => "too many logins from your address",
            Self::Browser => "too many logins from this browser",
            Self::All => "too many logins at once",
        })
    }
}

/// Too many attempts: of whom, and how many seconds until the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany {
    pub limit: Limit,
    pub seconds: u64,
}

/// When all attempts will be earned back, in milliseconds since 1970.
type Debt = Arc<Mutex<i64>>;

/// Counts attempts; what it remembers is bounded.
#[derive(Debug)]
pub struct Throttle {
    of_one: Cache<Source, Debt>,
    in_all: Debt,
}

impl Default for Throttle {
    fn default() -> Self {
        let longest = OF_ONE.every * u32::try_from(OF_ONE.burst).unwrap_or(u32::MAX);
        let of_one = Cache::builder().max_capacity(REMEMBERED).time_to_idle(longest).build();
        Self { of_one, in_all: Debt::default() }
    }
}

impl Throttle {
    /// Takes `cost` attempts of whoever tries, or none.
    pub fn admit(&self, from: &Source, cost: i64, now: Timestamp) -> Result<(), TooMany> {
        let now = now.as_millisecond();
        let known = matches!(from, Source::Browser(_));
        let limit = if known { Limit::Browser } else { Limit::Address };
        let own = self.of_one.get_with(from.clone(), Debt::default);
        let mut own = own.lock();
        let own_after = OF_ONE.spent(*own, cost, now).map_err(|seconds| TooMany { limit, seconds })?;
        if !known {
            let mut all = self.in_all.lock();
            let after = IN_ALL.spent(*all, cost, now);
            *all = after.map_err(|seconds| TooMany { limit: Limit::All, seconds })?;
        }
        *own = own_after;
        Ok(())
    }
}

impl Allowance {
    /// The debt after `cost` more attempts; or how many seconds there are to wait for them.
    fn spent(self, debt: i64, cost: i64, now: i64) -> Result<i64, u64> {
        let every = i64::try_from(self.every.as_millis()).unwrap_or(i64::MAX);
        let most = now.saturating_add(every.saturating_mul(self.burst));
        // A clock that was set back makes nobody wait longer than they could owe.
        let after = debt.clamp(now, most).saturating_add(every.saturating_mul(cost));
        if after <= most {
            return Ok(after);
        }
        Err(u64::try_from(after.saturating_sub(most)).unwrap_or(0).div_ceil(1_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).unwrap()
    }

    fn address(text: &str) -> Source {
        Source::address(Some(text.parse().unwrap()))
    }

    /// How many attempts are let through of so many.
    fn admitted(throttle: &Throttle, from: &Source, attempts: usize, now: Timestamp) -> usize {
        (0..attempts).filter(|_| throttle.admit(from, 1, now).is_ok()).count()
    }

    #[test]
    fn one_address_is_stopped_and_earns_its_attempts_back() {
        let throttle = Throttle::default();
        let (eve, bob) = (address("192.0.2.1"), address("192.0.2.2"));
        assert_eq!(admitted(&throttle, &eve, 100, at(0)), 20);
        assert_eq!(
            throttle.admit(&eve, 1, at(0)),
            Err(TooMany { limit: Limit::Address, seconds: 3 }),
            "however often it was refused"
        );
        assert_eq!(admitted(&throttle, &bob, 1, at(0)), 1);
        assert_eq!(admitted(&throttle, &eve, 100, at(3)), 1);
        assert_eq!(admitted(&throttle, &eve, 100, at(1_000)), 20);
    }

    #[test]
    fn a_guess_costs_more_than_a_login() {
        let throttle = Throttle::default();
        let guesses = (0..100).filter(|_| throttle.admit(&address("192.0.2.1"), GUESS, at(0)).is_ok());
        assert_eq!(guesses.count(), 4);
    }

    #[test]
    fn a_flood_from_everywhere_is_stopped_and_locks_out_nobody_who_was_here_before() {
        let throttle = Throttle::default();
        let flood = (0..10_000_u32).filter(|n| {
            let address = IpAddr::V4(n.wrapping_mul(2_654_435_761).into());
            throttle.admit(&Source::address(Some(address)), 1, at(0)).is_ok()
        });
        assert_eq!(flood.count(), 200);
        let refused = throttle.admit(&address("203.0.113.9"), 1, at(0));
        assert_eq!(refused, Err(TooMany { limit: Limit::All, seconds: 1 }));
        let known = Source::Browser("k".into());
        assert_eq!(admitted(&throttle, &known, 100, at(0)), 20);
        assert_eq!(throttle.admit(&known, 1, at(0)).map_err(|refused| refused.limit), Err(Limit::Browser));
        assert_eq!(admitted(&throttle, &address("203.0.113.9"), 1, at(1)), 1, "a second later");
    }

    #[test]
    fn one_network_is_one_address_and_a_mapped_address_is_itself() {
        assert_eq!(address("2001:db8::1"), address("2001:db8::ffff:1"));
        assert_ne!(address("2001:db8::1"), address("2001:db8:0:1::1"));
        assert_eq!(address("::ffff:192.0.2.1"), address("192.0.2.1"));
        assert_eq!(Source::address(None), address("::"));
    }

    #[test]
    fn a_clock_that_is_set_back_locks_nobody_out_for_long() {
        let throttle = Throttle::default();
        let eve = address("192.0.2.1");
        assert_eq!(admitted(&throttle, &eve, 20, at(86_400)), 20);
        assert_eq!(throttle.admit(&eve, 1, at(0)).map_err(|refused| refused.seconds), Err(3));
    }
}
