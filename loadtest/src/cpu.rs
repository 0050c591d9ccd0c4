//! The CPU time that a process has used, from `/proc/PID/stat`. It knows the format of that line and nothing of
//! what is measured with it.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// One tick of `utime` and `stime`: `USER_HZ` is 100 on every architecture that the server is built for.
const TICK: Duration = Duration::from_millis(10);

/// User and system time of process `pid`, all threads, those that ended included.
pub fn used(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("cannot read `{path}`"))?;
    parse(&stat).with_context(|| format!("`{path}` is not in the known format"))
}

fn parse(stat: &str) -> Option<Duration> {
    // The command's name may itself hold spaces and parentheses; the fields begin behind the last one.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut times = fields.split_ascii_whitespace().skip(11);
    let user: u32 = times.next()?.parse().ok()?;
    let system: u32 = times.next()?.parse().ok()?;
    Some(TICK * user.checked_add(system)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_user_and_system_time() {
        let stat = "42 (a b) c) S 1 42 42 0 -1 4194560 900 0 0 0 150 25 7 8 20 0 3 0 100 1 2";
        assert_eq!(parse(stat), Some(Duration::from_millis(1750)));
    }

    #[test]
    fn refuses_a_short_line() {
        assert_eq!(parse("42 (sh) S 1 42 42"), None);
    }

    #[test]
    fn sees_this_process_work() {
        let before = used(std::process::id()).unwrap();
        let begin = crate::clock::instant();
        let mut x = 1u64;
        while begin.elapsed() < Duration::from_millis(120) {
            x = std::hint::black_box(x.wrapping_mul(6_364_136_223_846_793_005));
        }
        assert!(used(std::process::id()).unwrap() > before);
    }
}
