//! How much of something each address has, so that none takes all of it.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

/// Counts by address. Of IPv6 the first 64 bits count, which are one network: whoever has one of its addresses has all.
#[derive(Debug)]
pub struct Shares {
    most: usize,
    taken: HashMap<IpAddr, usize>,
}

impl Shares {
    /// Each address may have `most` at once.
    pub fn new(most: usize) -> Self {
        Self { most, taken: HashMap::new() }
    }

    /// Takes one for this address; `false` when it has as many as it may.
    pub fn take(&mut self, address: IpAddr) -> bool {
        let taken = self.taken.entry(network(address)).or_default();
        let may = *taken < self.most;
        if may {
            *taken += 1;
        }
        may
    }

    /// Gives back one that this address took.
    pub fn give_back(&mut self, address: IpAddr) {
        let address = network(address);
        if let Some(taken) = self.taken.get_mut(&address) {
            *taken = taken.saturating_sub(1);
            if *taken == 0 {
                self.taken.remove(&address);
            }
        }
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_its_share_and_no_more() {
        let mut shares = Shares::new(2);
        let (one, other) = (address("192.0.2.1"), address("192.0.2.2"));
        assert_eq!([shares.take(one), shares.take(one), shares.take(one)], [true, true, false]);
        assert!(shares.take(address("192.0.2.2")), "another address");
        shares.give_back(one);
        assert_eq!([shares.take(one), shares.take(one)], [true, false]);
        for taken in [one, one, other] {
            shares.give_back(taken);
        }
        assert!(shares.taken.is_empty(), "who has nothing takes up no memory");
    }

    #[test]
    fn addresses_of_one_network_share() {
        for (one, other, same) in [
            ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", true),
            ("2001:db8:0:1::1", "2001:db8:0:2::1", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("192.0.2.1", "::ffff:192.0.2.2", false),
        ] {
            let mut shares = Shares::new(1);
            assert!(shares.take(address(one)));
            assert_eq!(shares.take(address(other)), !same, "{one} {other}");
        }
    }
}
