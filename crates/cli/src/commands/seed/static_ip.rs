//! `--static-ip`.

use disksmith_seed::{DeviceMatch, StaticNetwork};
use std::net::IpAddr;

/// Devices that are meant where none is named: those that systemd and the kernel give Ethernet devices.
const ANY_DEVICE: &str = "e*";

/// Reads `IP/PREFIX[,IP/PREFIX…][,gw=IP][,dns=IP…][,search=DOMAIN…][,mac=MAC|,dev=NAME]`. A value without a key belongs to the key before it.
pub(super) fn parse(text: &str) -> Result<StaticNetwork, String> {
    let mut network = StaticNetwork {
        device: DeviceMatch::Name(ANY_DEVICE.into()),
        addresses: Vec::new(),
        gateways: Vec::new(),
        nameservers: Vec::new(),
        search: Vec::new(),
    };
    let address = |text: &str| {
        text.parse::<IpAddr>()
            .map_err(|_| format!("{text:?} is no IP address"))
    };
    let mut key = "ip";
    for word in text.split([',', ' ']).filter(|w| !w.is_empty()) {
        let value = match word.split_once('=') {
            Some((named, value)) => {
                key = named;
                value
            }
            None => word,
        };
        match key {
            "ip" | "address" => {
                let (ip, prefix) = value
                    .split_once('/')
                    .ok_or_else(|| format!("{value} has no prefix length; write it like 192.0.2.5/24"))?;
                let ip = address(ip)?;
                let most = if ip.is_ipv4() { 32 } else { 128 };
                let prefix = prefix.parse().ok().filter(|p| *p <= most);
                let prefix =
                    prefix.ok_or_else(|| format!("{value}: the prefix length is not 0 to {most}"))?;
                network.addresses.push((ip, prefix));
            }
            "gw" | "gateway" => {
                let ip = address(value)?;
                if network.gateways.iter().any(|g| g.is_ipv4() == ip.is_ipv4()) {
                    return Err(format!("{value} is a second gateway of its family"));
                }
                network.gateways.push(ip);
            }
            "dns" | "nameserver" => network.nameservers.push(address(value)?),
            "search" => network.search.push(value.into()),
            "mac" => {
                let groups: Vec<&str> = value.split(':').collect();
                let hex = |g: &&str| g.len() == 2 && g.bytes().all(|b| b.is_ascii_hexdigit());
                if groups.len() != 6 || !groups.iter().all(hex) {
                    return Err(format!("{value:?} is no MAC address"));
                }
                network.device = DeviceMatch::Mac(value.to_ascii_lowercase());
                key = "ip";
            }
            "dev" => {
                network.device = DeviceMatch::Name(value.into());
                key = "ip";
            }
            other => return Err(format!("{other:?} is none of ip, gw, dns, search, mac and dev")),
        }
    }
    match network.addresses.is_empty() {
        true => Err("no address; write it like 192.0.2.5/24,gw=192.0.2.1".into()),
        false => Ok(network),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let read =
            parse("10.0.0.5/24,fd00::5/64,gw=10.0.0.1,dns=1.1.1.1,9.9.9.9,mac=52:54:00:AB:00:01").unwrap();
        assert_eq!(read.addresses.len(), 2);
        assert_eq!(read.nameservers.len(), 2);
        assert_eq!(read.device, DeviceMatch::Mac("52:54:00:ab:00:01".into()));
        for wrong in [
            "",
            "10.0.0.5",
            "10.0.0.5/33",
            "10.0.0.5/24,gw=x",
            "10.0.0.5/24,mac=1",
            "10.0.0.5/24,x=1",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
