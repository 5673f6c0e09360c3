//! The places of the incoming connections that are not yet admitted: how many there are, in all and per address, and
//! who gives way when all are taken.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::future::{AbortHandle, AbortRegistration};
use libp2p::{Multiaddr, multiaddr::Protocol};

/// The places for connections that are not yet admitted. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Pending(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    places: Mutex<Places>,
    pending_max: usize,
    per_address_max: usize,
}

#[derive(Debug, Default)]
struct Places {
    /// By number, hence by age.
    taken: BTreeMap<u64, Taken>,
    next_number: u64,
}

#[derive(Debug)]
struct Taken {
    network: Option<IpAddr>,
    cut: AbortHandle,
}

/// A place. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Place {
    pending: Pending,
    number: u64,
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
}

impl Pending {
    pub(crate) fn new(pending_max: usize, per_address_max: usize) -> Self {
        Self(Arc::new(Inner {
            places: Mutex::default(),
            pending_max,
            per_address_max,
        }))
    }

    /// Takes a place for a connection from `address`, which is to be cut when the registration says so: another has its
    /// place then. Without an IP address in it only the total is bounded.
    pub(crate) fn enter(&self, address: &Multiaddr) -> Result<(Place, AbortRegistration), NoPlace> {
        let network = network(address);
        let mut places = self.places();
        let (pending, from_network) = (places.taken.len(), places.of(network));
        let network_is_full = network.is_some() && from_network >= self.0.per_address_max;
        if network_is_full || (pending >= self.0.pending_max && !places.make_room_for(from_network))
        {
            return Err(NoPlace {
                pending,
                from_network,
            });
        }
        let (cut, registration) = AbortHandle::new_pair();
        let number = places.next_number;
        places.next_number += 1;
        places.taken.insert(number, Taken { network, cut });
        let pending = self.clone();
        Ok((Place { pending, number }, registration))
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.0.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Places {
    fn of(&self, network: Option<IpAddr>) -> usize {
        let same = self.taken.values().filter(|it| it.network == network);
        same.count()
    }

    /// Cuts the oldest connection of the network that holds most places, if it holds more than the newcomer's does. So
    /// the places are shared evenly, and among equals the one goes that has had the most time.
    fn make_room_for(&mut self, newcomers: usize) -> bool {
        let mut held: HashMap<Option<IpAddr>, usize> = HashMap::new();
        for it in self.taken.values() {
            *held.entry(it.network).or_default() += 1;
        }
        let ranks = self.taken.iter().map(|(number, it)| {
            let held = held.get(&it.network).copied().unwrap_or_default();
            (held, Reverse(*number))
        });
        let Some((_, Reverse(number))) = ranks.max().filter(|(held, _)| *held > newcomers) else {
            return false;
        };
        if let Some(oldest) = self.taken.remove(&number) {
            oldest.cut.abort();
        }
        true
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.pending.places().taken.remove(&self.number);
    }
}

/// What counts as one address: an IPv4 address, or the /64 that every IPv6 host can fill with addresses of its own.
pub(crate) fn network(address: &Multiaddr) -> Option<IpAddr> {
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

    /// Goal: both bounds hold, and places come back.
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
                from_network: 2
            }
        );
        let third = pending.enter(&b).unwrap();
        drop(first);
        let fourth = pending.enter(&a).unwrap();
        drop((second, third, fourth));
        assert!(pending.places().taken.is_empty());
    }

    /// Goal: when all places are taken, the oldest connection of the address that holds most gives way, but never to an
    /// address that holds as many.
    #[test]
    fn whoever_holds_most_gives_way() {
        let pending = Pending::new(3, 3);
        let [a, b, c] = ["1", "2", "3"].map(|last| address(&format!("/ip4/10.0.0.{last}/tcp/1")));
        let (b_place, b_cut) = pending.enter(&b).unwrap();
        let (a_places, a_cuts): (Vec<_>, Vec<_>) =
            (0..2).map(|_| pending.enter(&a).unwrap()).unzip();
        assert_eq!(pending.enter(&a).unwrap_err().from_network, 2);
        let is_cut = |cut: &AbortRegistration| cut.handle().is_aborted();
        let (c_place, c_cut) = pending.enter(&c).unwrap();
        assert!(is_cut(&a_cuts[0]) && ![&a_cuts[1], &b_cut, &c_cut].into_iter().any(is_cut));
        // All hold one now: the oldest of all goes, and dropping what was cut gives nothing back twice.
        drop(a_places);
        let _places = [
            pending.enter(&a).unwrap(),
            pending.enter(&address("/memory/7")).unwrap(),
        ];
        assert!(is_cut(&b_cut) && !is_cut(&c_cut));
        drop((b_place, c_place));
        assert_eq!(pending.places().taken.len(), 2);
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
