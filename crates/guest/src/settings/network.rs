//! What configures a guest's network, and which identity stands in it: addresses that two machines must not share.

use super::MAX;
use crate::files::{lines, text};
use disksmith_vfs::Tree;
use serde::Serialize;
use std::net::IpAddr;

/// A system that configures networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum NetworkSystem {
    /// netplan (Ubuntu).
    Netplan,
    /// NetworkManager's connections.
    NetworkManager,
    /// Red Hat's `ifcfg` files.
    Ifcfg,
    /// SUSE's `ifcfg` files, which wicked reads.
    Wicked,
    /// systemd-networkd.
    Networkd,
    /// Debian's and Alpine's `/etc/network/interfaces`.
    Ifupdown,
    /// dhcpcd.
    Dhcpcd,
    /// OpenRC's netifrc (Gentoo).
    Netifrc,
    /// Slackware's `rc.inet1.conf`.
    Inet1,
    /// OpenWrt's UCI.
    Uci,
    /// udev's names for network cards.
    Udev,
}

/// A file of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NetworkFile {
    /// Who reads it.
    pub system: NetworkSystem,
    /// The file.
    pub path: String,
    /// The hardware addresses in it.
    pub hardware: Vec<String>,
    /// The addresses in it, with their prefix where it is given.
    pub addresses: Vec<String>,
}

/// Where each keeps its files.
const PLACES: &[(NetworkSystem, &str)] = &[
    (NetworkSystem::Netplan, "/etc/netplan/*.yaml"),
    (NetworkSystem::Netplan, "/run/netplan/*.yaml"),
    (
        NetworkSystem::NetworkManager,
        "/etc/NetworkManager/system-connections/*",
    ),
    (NetworkSystem::Ifcfg, "/etc/sysconfig/network-scripts/ifcfg-*"),
    (NetworkSystem::Wicked, "/etc/sysconfig/network/ifcfg-*"),
    (NetworkSystem::Networkd, "/etc/systemd/network/*.network"),
    (NetworkSystem::Networkd, "/etc/systemd/network/*.link"),
    (NetworkSystem::Ifupdown, "/etc/network/interfaces"),
    (NetworkSystem::Ifupdown, "/etc/network/interfaces.d/*"),
    (NetworkSystem::Dhcpcd, "/etc/dhcpcd.conf"),
    (NetworkSystem::Netifrc, "/etc/conf.d/net"),
    (NetworkSystem::Inet1, "/etc/rc.d/rc.inet1.conf"),
    (NetworkSystem::Uci, "/etc/config/network"),
    (NetworkSystem::Udev, "/etc/udev/rules.d/70-persistent-net.rules"),
];

/// How many files are read, and how much is listed of one.
const MAX_FILES: usize = 1000;
const MAX_LISTED: usize = 100;

pub(super) fn of_guest(tree: &Tree) -> Vec<NetworkFile> {
    let mut found = Vec::new();
    for (system, pattern) in PLACES {
        for path in tree.glob(pattern).unwrap_or_default() {
            if found.len() == MAX_FILES {
                return found;
            }
            let loopback = matches!(system, NetworkSystem::Ifcfg | NetworkSystem::Wicked)
                && path.ends_with(b"/ifcfg-lo");
            let Ok(contents) = tree.read_limited(&path, MAX) else {
                continue;
            };
            if loopback || path.ends_with(b"~") {
                continue;
            }
            found.push(NetworkFile {
                system: *system,
                path: text(&path),
                hardware: words(&contents)
                    .filter(|w| is_hardware(w))
                    .take(MAX_LISTED)
                    .collect(),
                addresses: words(&contents)
                    .filter(|w| is_address(w))
                    .take(MAX_LISTED)
                    .collect(),
            });
        }
    }
    found
}

/// Words of lines that are no comments.
fn words(contents: &[u8]) -> impl Iterator<Item = String> {
    lines(contents)
        .filter(|line| !matches!(line.trim_ascii_start().first(), Some(b'#' | b';')))
        .flat_map(|line| {
            line.split(|b| b.is_ascii_whitespace() || b"=,;\"'[](){}".contains(b))
                .filter(|word| !word.is_empty())
                .map(text)
                .collect::<Vec<_>>()
        })
}

/// Six pairs of digits; that of no card (zeroes) is none.
fn is_hardware(word: &str) -> bool {
    let mut count = 0;
    let pairs = word.split([':', '-']).all(|pair| {
        count += 1;
        pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit())
    });
    pairs && count == 6 && word.bytes().any(|b| !matches!(b, b'0' | b':' | b'-'))
}

/// An address of a machine: not a mask, not the loopback, not "any".
fn is_address(word: &str) -> bool {
    let (address, prefix) = match word.split_once('/') {
        Some((address, prefix)) => (address, prefix.parse::<u8>().ok()),
        None => (word, Some(0)),
    };
    let Ok(address) = address.parse::<IpAddr>() else {
        return false;
    };
    let mask = matches!(address, IpAddr::V4(v4) if v4.octets().first() == Some(&255));
    prefix.is_some() && !mask && !address.is_loopback() && !address.is_unspecified()
}
