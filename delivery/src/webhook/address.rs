//! Addresses that webhooks may reach: by default none of a private network and none of this
//! machine, so that nobody who sets an endpoint can reach what only Plaudit can.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Fails with a description unless this is an address of the public internet.
///
/// Sources: the IANA registries of special-purpose addresses for IPv4 (RFC 6890) and IPv6.
pub fn may_be_reached(address: IpAddr) -> Result<(), &'static str> {
    match address {
        IpAddr::V4(address) => ipv4(address),
        IpAddr::V6(address) => ipv6(address),
    }
}

fn ipv4(address: Ipv4Addr) -> Result<(), &'static str> {
    let [a, b, c, _] = address.octets();
    match (a, b, c) {
        (0, ..) => Err("an address of this network"),
        (127, ..) => Err("an address of this machine"),
        (10, ..) | (172, 16..=31, _) | (192, 168, _) => Err("an address of a private network"),
        (100, 64..=127, _) => Err("an address of a provider's own network"),
        (169, 254, _) => Err("a link-local address"),
        (192, 0, 0 | 2) | (198, 51, 100) | (203, 0, 113) | (198, 18 | 19, _) | (192, 88, 99) => {
            Err("an address that is reserved")
        }
        (224..=255, ..) => Err("a multicast or reserved address"),
        _ => Ok(()),
    }
}

fn ipv6(address: Ipv6Addr) -> Result<(), &'static str> {
    let parts = address.segments();
    let inner = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        ipv4(Ipv4Addr::new(a, b, c, d))
    };
    match parts {
        [0, 0, 0, 0, 0, 0, 0, 1] => Err("an address of this machine"),
        // An IPv4 address in IPv6: mapped, compatible, translated (RFC 6052), 6to4.
        [0, 0, 0, 0, 0, 0xffff | 0, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            inner(high, low)
        }
        [0x2002, high, low, ..] => inner(high, low),
        [0x64, 0xff9b, 1, ..] | [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] => {
            Err("an address of a private network")
        }
        [0xfe80..=0xfebf, ..] => Err("a link-local address"),
        [0x2000, ..] | [0x2001, 0x0db8 | 0..=0x01ff, ..] | [0x100, 0, 0, 0, ..] => {
            Err("an address that is reserved")
        }
        [0x2001..=0x3ffe, ..] => Ok(()),
        _ => Err("a multicast or reserved address"),
    }
}

/// Resolves names, without the addresses that may not be reached. The connection is made to one of
/// the returned addresses, so no second answer of the name server can lead elsewhere.
#[derive(Debug)]
pub struct CheckedResolver {
    pub allow_private: bool,
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let allow_private = self.allow_private;
        Box::pin(async move {
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let mut refused = None;
            let mut allowed = Vec::new();
            for address in found {
                match may_be_reached(address.ip()) {
                    Err(why) if !allow_private => refused = Some((address.ip(), why)),
                    _ => allowed.push(address),
                }
            }
            match refused {
                Some((address, why)) if allowed.is_empty() => {
                    let text = format!(
                        "{} leads to {address}, {why}; `allow_private = true` allows it",
                        name.as_str()
                    );
                    Err(io::Error::new(io::ErrorKind::PermissionDenied, text).into())
                }
                _ => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_only_plaudit_can_reach_are_refused() {
        for text in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "192.0.2.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2001:db8::1",
            "4000::1",
        ] {
            assert!(may_be_reached(text.parse().unwrap()).is_err(), "{text}");
        }
        for text in ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8"] {
            assert_eq!(may_be_reached(text.parse().unwrap()), Ok(()), "{text}");
        }
    }
}
