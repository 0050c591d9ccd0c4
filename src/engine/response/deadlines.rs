//! How long a body may take that is being masked. A slow upstream, or a caller who stops reading, would otherwise keep
//! what the masker holds for it for as long as it likes: Envoy's own timeout for a message does not run in the streaming modes.

use std::time::{Duration, Instant};

/// The limits of bodies that are being masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// Between two chunks of a body.
    pub chunk: Duration,
    /// From a body's headers to its end.
    pub body: Duration,
    /// The same of a stream of events or messages; `None` for no limit. Between its chunks it may be silent for as long as it
    /// likes: nobody knows when the next event comes.
    pub stream: Option<Duration>,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self { chunk: Duration::from_secs(60), body: Duration::from_secs(3_600), stream: None }
    }
}

/// The limits of one body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due {
    /// Between two chunks.
    silence: Option<Duration>,
    end: Option<Instant>,
}

impl Deadlines {
    /// Those of a body that begins `now`; `events`: it is a stream of events or messages.
    pub(super) fn of(self, events: bool, now: Instant) -> Due {
        let (silence, whole) = if events { (None, self.stream) } else { (Some(self.chunk), Some(self.body)) };
        Due { silence, end: whole.and_then(|whole| now.checked_add(whole)) }
    }
}

impl Due {
    /// No limits.
    pub(super) fn never() -> Self {
        Self { silence: None, end: None }
    }

    /// Until when the next chunk must have come, if nothing came since `now`, and the code of the reason if it has not.
    pub(super) fn next(self, now: Instant) -> Option<(Instant, &'static str)> {
        let silence = self.silence.and_then(|silence| now.checked_add(silence));
        let silence = silence.map(|until| (until, "chunk_timeout"));
        let end = self.end.map(|until| (until, "body_timeout"));
        silence.into_iter().chain(end).min_by_key(|(until, _)| *until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const LIMITS: Deadlines =
        Deadlines { chunk: Duration::from_secs(10), body: Duration::from_secs(25), stream: None };

    #[test]
    fn a_chunk_is_waited_for_until_its_limit_or_that_of_the_body_comes() {
        let begun = clock::instant();
        let after = |seconds: u64| begun + Duration::from_secs(seconds);
        let due = LIMITS.of(false, begun);
        assert_eq!(due.next(begun), Some((after(10), "chunk_timeout")));
        assert_eq!(due.next(after(14)), Some((after(24), "chunk_timeout")));
        assert_eq!(due.next(after(16)), Some((after(25), "body_timeout")));
        assert_eq!(due.next(after(26)), Some((after(25), "body_timeout")), "it is over");
    }

    #[test]
    fn a_stream_of_events_may_be_silent_and_lasts_as_long_as_it_likes_unless_it_is_limited() {
        let begun = clock::instant();
        let after = |seconds: u64| begun + Duration::from_secs(seconds);
        assert_eq!(LIMITS.of(true, begun).next(begun), None);
        let limited = Deadlines { stream: Some(Duration::from_secs(50)), ..LIMITS };
        assert_eq!(limited.of(true, begun).next(after(49)), Some((after(50), "body_timeout")));
    }
}
