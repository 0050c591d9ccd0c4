//! Loopback addresses that are free.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// Any port of the loopback address, for what binds and tells.
pub const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// `N` different loopback addresses that were free a moment ago, for what has to be told its port. The kernel hands
/// out ephemeral ports in a scattered order, so that tests running side by side rarely draw the same one.
pub fn free<const N: usize>() -> io::Result<[SocketAddr; N]> {
    let mut listeners = Vec::with_capacity(N);
    let mut addresses = [ANY; N];
    for address in &mut addresses {
        // All stay bound until the last is drawn, or one port could come twice.
        let listener = TcpListener::bind(ANY)?;
        *address = listener.local_addr()?;
        listeners.push(listener);
    }
    Ok(addresses)
}

/// Whether `address` can't be bound, because something listens there already.
pub fn is_taken(address: SocketAddr) -> bool {
    TcpListener::bind(address).is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_addresses_differ_and_can_be_bound() {
        let addresses = free::<8>().unwrap();
        let mut ports: Vec<u16> = addresses.iter().map(SocketAddr::port).collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 8);
        let held = TcpListener::bind(addresses[0]).unwrap();
        assert!(is_taken(addresses[0]));
        drop(held);
        assert!(!is_taken(addresses[0]));
    }
}
