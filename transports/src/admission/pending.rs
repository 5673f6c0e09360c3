//! Counts the incoming connections that are not yet admitted, in all and per address.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use libp2p::{Multiaddr, multiaddr::Protocol};

/// The places for connections that are not yet admitted. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Pending(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    counts: Mutex<Counts>,
    pending_max: usize,
    per_address_max: usize,
}

#[derive(Debug, Default)]
struct Counts {
    pending: usize,
    by_network: HashMap<IpAddr, usize>,
    /// Whether the present shortage was reported, so that a flood of connections is no flood of log lines.
    reported: bool,
}

/// A place. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Place {
    pending: Pending,
    network: Option<IpAddr>,
}

/// There is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "too many connections are waiting to be admitted ({pending} in all, {from_network} from this address)"
)]
pub(crate) struct NoPlace {
    /// Connections waiting in all.
    pub(crate) pending: usize,
    /// Connections waiting from the same network.
    pub(crate) from_network: usize,
    /// Whether this is the first one since there were places, and worth a line in the log.
    pub(crate) first: bool,
}

impl Pending {
    pub(crate) fn new(pending_max: usize, per_address_max: usize) -> Self {
        Self(Arc::new(Inner {
            counts: Mutex::default(),
            pending_max,
            per_address_max,
        }))
    }

    /// Takes a place for a connection from `address`. Without an IP address in it only the total is bounded.
    pub(crate) fn enter(&self, address: &Multiaddr) -> Result<Place, NoPlace> {
        let network = network(address);
        let mut counts = self.counts();
        let from_network = network.map_or(0, |network| {
            counts.by_network.get(&network).copied().unwrap_or(0)
        });
        if counts.pending >= self.0.pending_max || from_network >= self.0.per_address_max {
            let first = !std::mem::replace(&mut counts.reported, true);
            return Err(NoPlace {
                pending: counts.pending,
                from_network,
                first,
            });
        }
        counts.pending += 1;
        if let Some(network) = network {
            counts.by_network.insert(network, from_network + 1);
        }
        Ok(Place {
            pending: self.clone(),
            network,
        })
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.pending.counts();
        counts.pending -= 1;
        if counts.pending == 0 {
            counts.reported = false;
        }
        let Some(network) = self.network else { return };
        if let Some(count) = counts.by_network.get_mut(&network) {
            *count -= 1;
            if *count == 0 {
                counts.by_network.remove(&network);
            }
        }
    }
}

/// What counts as one address: an IPv4 address, or the /64 that every IPv6 host can fill with addresses of its own.
fn network(address: &Multiaddr) -> Option<IpAddr> {
    address.iter().find_map(|part| match part {
        Protocol::Ip4(ip) => Some(IpAddr::V4(ip)),
        Protocol::Ip6(ip) => Some(match ip.to_ipv4_mapped() {
            Some(ip) => IpAddr::V4(ip),
            None => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX))),
        }),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Multiaddr {
        text.parse().unwrap()
    }

    /// Goal: both bounds hold, places come back, and a shortage is reported once.
    #[test]
    fn both_bounds_hold() {
        let pending = Pending::new(3, 2);
        let (a, b) = (
            address("/ip4/10.0.0.1/tcp/1"),
            address("/ip4/10.0.0.2/tcp/1"),
        );
        let (first, second) = (pending.enter(&a).unwrap(), pending.enter(&a).unwrap());
        assert_eq!(
            pending.enter(&a).unwrap_err(),
            NoPlace {
                pending: 2,
                from_network: 2,
                first: true
            }
        );
        assert!(!pending.enter(&a).unwrap_err().first);
        let third = pending.enter(&b).unwrap();
        assert_eq!(pending.enter(&address("/memory/7")).unwrap_err().pending, 3);
        drop(first);
        let fourth = pending.enter(&a).unwrap();
        drop((second, third, fourth));
        assert!(pending.counts().by_network.is_empty());
        let _places = [pending.enter(&a).unwrap(), pending.enter(&a).unwrap()];
        assert!(pending.enter(&a).unwrap_err().first);
    }

    /// Goal: an IPv6 host counts once however many addresses it takes, and mapped IPv4 counts as IPv4.
    #[test]
    fn networks_are_told_apart() {
        let network = |text| network(&address(text));
        assert_eq!(
            network("/ip6/2001:db8::1/tcp/1"),
            network("/ip6/2001:db8::ffff:1/tcp/9")
        );
        assert_ne!(
            network("/ip6/2001:db8::1/tcp/1"),
            network("/ip6/2001:db8:0:1::1/tcp/1")
        );
        assert_eq!(
            network("/ip6/::ffff:10.0.0.1/tcp/1"),
            network("/ip4/10.0.0.1/tcp/1")
        );
        assert_eq!(network("/memory/1"), None);
    }
}
