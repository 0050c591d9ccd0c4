//! The parts that make up a key, by name. Tests leave each out in turn, to see that it is missed.

use super::super::cel::attribute::Attribute;

/// One thing that a key must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The number of the policy set: the revision, and more.
    Set,
    /// Which policies match the call.
    Candidates,
    /// How the caller was authenticated.
    Authentication,
    /// What reading the attributes costs.
    ReadCost,
    /// What reading a header costs.
    HeaderCost,
    /// Whether a text was made for the call, and so takes memory.
    Made,
    /// That a rule needs a body which is not here.
    IncompleteBody,
    /// What header templates read.
    Templates,
    /// The values of headers read by name.
    Header,
    /// The entries of this map that are read by name.
    Entry(Attribute),
    /// The value of this attribute, or that it can't be in a key.
    Attribute(Attribute),
}

/// Whether the part is left out. It never is, but in tests that ask for it.
#[cfg(not(test))]
pub(super) const fn left_out(_: Part) -> bool {
    false
}

#[cfg(test)]
pub(super) fn left_out(part: Part) -> bool {
    LEFT_OUT.get() == Some(part)
}

#[cfg(test)]
thread_local! {
    static LEFT_OUT: std::cell::Cell<Option<Part>> = const { std::cell::Cell::new(None) };
}

/// Runs `run` while policies are compiled, and keys written, without the part.
#[cfg(test)]
pub(crate) fn without<T>(part: Part, run: impl FnOnce() -> T) -> T {
    LEFT_OUT.set(Some(part));
    let done = run();
    LEFT_OUT.set(None);
    done
}
