//! `network_data.json` of a ConfigDrive (OpenStack, "network_data.json" 2015-10-15): checking it, and making it from a network
//! configuration of version 1 or 2.

use crate::config_drive::{GuestSystem, check_object};
use crate::diagnostic::Findings;
use crate::document::{Document, text_of};
use crate::error::{Error, Result};
use crate::network_config;
use crate::yaml::{self, Type, Yaml};
use serde_json::{Map, Value, json};
use std::net::IpAddr;

/// Whether a document is, or should be, network_data.json already.
pub(crate) fn is_network_data(bytes: &[u8]) -> bool {
    const KEYS: [&str; 3] = ["links", "networks", "services"];
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return false;
    }
    match serde_json::from_slice::<Value>(bytes) {
        Ok(value) => KEYS.iter().any(|key| value.get(key).is_some()),
        Err(_) => {
            let text = String::from_utf8_lossy(bytes);
            KEYS.iter().any(|key| text.contains(&format!("\"{key}\"")))
        }
    }
}

/// Checks either form.
pub(crate) fn check(bytes: &[u8], guest: GuestSystem, findings: &mut Findings) {
    if is_network_data(bytes) {
        return check_data(bytes, guest, findings);
    }
    if let Some(text) = text_of(bytes, findings) {
        network_config::check(text, findings);
    }
}

/// Checks network_data.json.
pub(crate) fn check_data(bytes: &[u8], guest: GuestSystem, findings: &mut Findings) {
    let Some(root) = check_object(bytes, findings) else {
        return;
    };
    let list = |key: &str| {
        root.get(key)
            .and_then(Value::as_array)
            .map_or(&[][..], Vec::as_slice)
    };
    let mut ids = Vec::new();
    for (index, link) in list("links").iter().enumerate() {
        let text = |key: &str| link.get(key).and_then(Value::as_str);
        let Some(id) = text("id") else {
            findings.error("network-link", (1, 1), format!("link {index} has no id"), None);
            continue;
        };
        if ids.contains(&id) {
            findings.error(
                "network-link",
                (1, 1),
                format!("two links have the id {id:?}"),
                None,
            );
        }
        ids.push(id);
        match text("type") {
            None => findings.error(
                "network-link",
                (1, 1),
                format!("the link {id:?} has no type"),
                None,
            ),
            Some("vlan") => {
                for key in ["vlan_id", "vlan_link", "vlan_mac_address"] {
                    if link.get(key).is_none() {
                        let message = format!("the VLAN {id:?} has no {key}, without which cloud-init fails");
                        findings.error("network-link", (1, 1), message, None);
                    }
                }
            }
            Some("bond") => {
                if link.get("bond_links").and_then(Value::as_array).is_none() {
                    let message = format!("the bond {id:?} has no list bond_links");
                    findings.error("network-link", (1, 1), message, None);
                }
            }
            Some(_) => {
                let named = text("name").is_some() && guest == GuestSystem::CloudInit;
                if text("ethernet_mac_address").is_none() && !named {
                    let message = format!(
                        "the link {id:?} has no ethernet_mac_address; no device would be found for it"
                    );
                    findings.error("network-link", (1, 1), message, None);
                }
            }
        }
    }
    for (index, network) in list("networks").iter().enumerate() {
        match network.get("link").and_then(Value::as_str) {
            Some(link) if ids.contains(&link) => {}
            Some(link) => {
                let message = format!("network {index} is on the link {link:?}, which does not exist");
                findings.error("network-link", (1, 1), message, None);
            }
            None => findings.error(
                "network-link",
                (1, 1),
                format!("network {index} has no link"),
                None,
            ),
        }
        if network.get("type").and_then(Value::as_str).is_none() {
            findings.error(
                "network-type",
                (1, 1),
                format!("network {index} has no type"),
                None,
            );
        }
    }
}

/// The network_data.json of a network configuration of version 1 or 2.
///
/// # Errors
/// [`Error::Network`] for what it has no words for: bridges, tunnels, devices that are found by a pattern.
pub fn network_data(document: &Document) -> Result<Value> {
    let mut quiet = Findings::new(&document.name);
    let fail = |(at, reason): Stop| Error::Network {
        name: document.name.clone(),
        line: at.0,
        column: at.1,
        reason,
    };
    let text = text_of(&document.bytes, &mut quiet).ok_or_else(|| fail(((1, 1), "is no text".into())))?;
    let root = match yaml::parse(text, &mut quiet) {
        Ok(Some(root)) => root,
        Ok(None) => return Ok(json!({ "links": [], "networks": [], "services": [] })),
        Err(()) => return Err(fail(((1, 1), "is not valid YAML".into()))),
    };
    let config = root.get("network").unwrap_or(&root);
    let mut out = Translation::default();
    match config.get("version").and_then(Yaml::text) {
        Some("1") => out.version_1(config),
        Some("2") => out.version_2(config),
        _ => Err((root.at, "is neither of version 1 nor of version 2".into())),
    }
    .map_err(fail)?;
    Ok(json!({ "links": out.links, "networks": out.networks, "services": out.services }))
}

/// Where, and what cannot be said.
type Stop = ((usize, usize), String);

#[derive(Default)]
struct Translation {
    links: Vec<Value>,
    networks: Vec<Value>,
    services: Vec<Value>,
    /// MAC addresses of links, by id.
    macs: Vec<(String, String)>,
}

fn stop<T>(at: &Yaml, reason: impl Into<String>) -> std::result::Result<T, Stop> {
    Err((at.at, reason.into()))
}

fn text<'a>(node: &'a Yaml, key: &str) -> Option<&'a str> {
    node.get(key).and_then(Yaml::text)
}

/// The texts of a list, or the only one of a scalar.
fn texts(node: Option<&Yaml>) -> Vec<String> {
    let Some(node) = node else { return Vec::new() };
    match node.value_type() {
        Type::Sequence => node
            .items()
            .iter()
            .filter_map(Yaml::text)
            .map(Into::into)
            .collect(),
        _ => node.text().map(Into::into).into_iter().collect(),
    }
}

fn number(node: Option<&Yaml>) -> Option<u64> {
    node.and_then(Yaml::text).and_then(|t| t.parse().ok())
}

impl Translation {
    fn version_1(&mut self, config: &Yaml) -> std::result::Result<(), Stop> {
        for item in config.get("config").map_or(&[][..], Yaml::items) {
            let name = text(item, "name").unwrap_or("");
            let mut link = Map::new();
            let kind = text(item, "type").unwrap_or("");
            let mac = text(item, "mac_address").map(str::to_ascii_lowercase);
            match kind {
                "physical" => {
                    link.insert("type".into(), json!("phy"));
                    link.insert("name".into(), json!(name));
                }
                "bond" => {
                    link.insert("type".into(), json!("bond"));
                    link.insert("bond_links".into(), json!(texts(item.get("bond_interfaces"))));
                    for (key, value) in item.get("params").map_or(&[][..], Yaml::entries) {
                        if let Some(key) = key.text() {
                            bond_parameter(&mut link, key, value);
                        }
                    }
                }
                "vlan" => {
                    let on = text(item, "vlan_link").unwrap_or("");
                    self.vlan(&mut link, item, on, number(item.get("vlan_id")), mac.as_deref())?;
                }
                "nameserver" => {
                    for address in texts(item.get("address")) {
                        self.services.push(json!({ "type": "dns", "address": address }));
                    }
                    continue;
                }
                "loopback" => continue,
                other => {
                    return stop(
                        item,
                        format!("network_data.json has no words for the type {other:?}"),
                    );
                }
            }
            self.link(link, name, mac, number(item.get("mtu")));
            for subnet in item.get("subnets").map_or(&[][..], Yaml::items) {
                self.subnet(name, subnet)?;
            }
        }
        Ok(())
    }

    fn link(&mut self, mut link: Map<String, Value>, id: &str, mac: Option<String>, mtu: Option<u64>) {
        link.insert("id".into(), json!(id));
        if let Some(mtu) = mtu {
            link.insert("mtu".into(), json!(mtu));
        }
        if let Some(mac) = mac {
            self.macs.push((id.into(), mac.clone()));
            if link.get("type") != Some(&json!("vlan")) {
                link.insert("ethernet_mac_address".into(), json!(mac));
            }
        }
        self.links.push(link.into());
    }

    fn vlan(
        &mut self,
        link: &mut Map<String, Value>,
        item: &Yaml,
        on: &str,
        id: Option<u64>,
        mac: Option<&str>,
    ) -> std::result::Result<(), Stop> {
        let parent = self
            .macs
            .iter()
            .find(|(name, _)| name == on)
            .map(|(_, mac)| mac.as_str());
        let Some(mac) = mac.or(parent) else {
            return stop(
                item,
                "a VLAN in network_data.json needs a MAC address, its own or that of its link",
            );
        };
        let Some(id) = id else {
            return stop(item, "a VLAN without a number");
        };
        link.insert("type".into(), json!("vlan"));
        link.insert("vlan_id".into(), json!(id));
        link.insert("vlan_link".into(), json!(on));
        link.insert("vlan_mac_address".into(), json!(mac));
        Ok(())
    }

    fn network(&mut self, link: &str, kind: &str, mut more: Map<String, Value>) {
        // cloud-init before 23.2 sees only name servers that stand beside the networks
        for service in more
            .get("services")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            if !self.services.contains(service) {
                self.services.push(service.clone());
            }
        }
        let mut network = Map::new();
        network.insert("id".into(), json!(format!("network{}", self.networks.len())));
        network.insert("link".into(), json!(link));
        network.insert("type".into(), json!(kind));
        network.append(&mut more);
        self.networks.push(network.into());
    }

    fn subnet(&mut self, link: &str, subnet: &Yaml) -> std::result::Result<(), Stop> {
        let mut more = Map::new();
        services(
            &mut more,
            &texts(subnet.get("dns_nameservers")),
            &texts(subnet.get("dns_search")),
        );
        match text(subnet, "type").unwrap_or("") {
            "dhcp" | "dhcp4" => self.network(link, "ipv4_dhcp", more),
            "dhcp6" => self.network(link, "ipv6_dhcp", more),
            kind @ ("ipv6_slaac" | "ipv6_dhcpv6-stateless" | "ipv6_dhcpv6-stateful") => {
                self.network(link, kind, more);
            }
            "manual" => {}
            "static" | "static6" => {
                let Some(given) = subnet.get("address") else {
                    return stop(subnet, "a static subnet without an address");
                };
                let (address, mask) = split_address(given, text(subnet, "netmask"))?;
                let mut routes = Vec::new();
                if let Some(gateway) = text(subnet, "gateway") {
                    routes.push(default_route(gateway, given)?);
                }
                for route in subnet.get("routes").map_or(&[][..], Yaml::items) {
                    let Some(to) = route.get("destination").or_else(|| route.get("network")) else {
                        return stop(route, "a route without a destination");
                    };
                    let via = text(route, "gateway").unwrap_or("");
                    routes.push(route_to(
                        to,
                        text(route, "netmask"),
                        via,
                        number(route.get("metric")),
                    )?);
                }
                self.fixed(link, address, &mask, routes, more);
            }
            other => {
                return stop(
                    subnet,
                    format!("network_data.json has no words for a subnet {other:?}"),
                );
            }
        }
        Ok(())
    }

    fn fixed(
        &mut self,
        link: &str,
        address: IpAddr,
        mask: &str,
        routes: Vec<Value>,
        mut more: Map<String, Value>,
    ) {
        let kind = if address.is_ipv4() { "ipv4" } else { "ipv6" };
        more.insert("ip_address".into(), json!(address.to_string()));
        more.insert("netmask".into(), json!(mask));
        if !routes.is_empty() {
            more.insert("routes".into(), routes.into());
        }
        self.network(link, kind, more);
    }

    fn version_2(&mut self, config: &Yaml) -> std::result::Result<(), Stop> {
        for (key, _) in config.entries() {
            let name = key.text().unwrap_or("");
            if !["version", "renderer", "ethernets", "bonds", "vlans"].contains(&name) {
                return stop(key, format!("network_data.json has no words for {name:?}"));
            }
        }
        for kind in ["ethernets", "bonds", "vlans"] {
            for (key, device) in config.get(kind).map_or(&[][..], Yaml::entries) {
                self.device(kind, key, device)?;
            }
        }
        Ok(())
    }

    fn device(&mut self, kind: &str, key: &Yaml, device: &Yaml) -> std::result::Result<(), Stop> {
        let id = key.text().unwrap_or("");
        let found = device.get("match");
        let mac = found
            .and_then(|m| text(m, "macaddress"))
            .or_else(|| text(device, "macaddress"))
            .map(str::to_ascii_lowercase);
        let mut link = Map::new();
        match kind {
            "bonds" => {
                link.insert("type".into(), json!("bond"));
                link.insert("bond_links".into(), json!(texts(device.get("interfaces"))));
                for (key, value) in device.get("parameters").map_or(&[][..], Yaml::entries) {
                    if let Some(name) = key.text() {
                        let name = match name {
                            "mii-monitor-interval" => "miimon",
                            "transmit-hash-policy" => "xmit_hash_policy",
                            other => other,
                        };
                        bond_parameter(&mut link, name, value);
                    }
                }
            }
            "vlans" => {
                let on = text(device, "link").unwrap_or("");
                self.vlan(&mut link, device, on, number(device.get("id")), mac.as_deref())?;
            }
            _ => {
                link.insert("type".into(), json!("phy"));
                let matched = found.and_then(|m| text(m, "name"));
                let name = text(device, "set-name").or(match found {
                    None => Some(id),
                    Some(_) => matched.filter(|n| !n.contains(['*', '?', '['])),
                });
                match name {
                    Some(name) => {
                        link.insert("name".into(), json!(name));
                    }
                    None if mac.is_none() => {
                        let reason = "network_data.json finds devices by MAC address or name, not by a pattern or driver";
                        return stop(found.unwrap_or(device), reason);
                    }
                    None => {}
                }
            }
        }
        self.link(link, id, mac, number(device.get("mtu")));
        let mut dns = Map::new();
        let servers = device.get("nameservers");
        services(
            &mut dns,
            &texts(servers.and_then(|s| s.get("addresses"))),
            &texts(servers.and_then(|s| s.get("search"))),
        );
        let mut routes = (Vec::new(), Vec::new());
        let mut add = |route: Value, via: &str| {
            if via.contains(':') {
                routes.1.push(route);
            } else {
                routes.0.push(route);
            }
        };
        for name in ["gateway4", "gateway6"] {
            if let Some(gateway) = device.get(name) {
                let via = gateway.text().unwrap_or("");
                add(default_route(via, gateway)?, via);
            }
        }
        for route in device.get("routes").map_or(&[][..], Yaml::items) {
            let (Some(to), Some(via)) = (route.get("to"), text(route, "via")) else {
                return stop(route, "a route in network_data.json needs \"to\" and \"via\"");
            };
            let said = match to.text() {
                Some("default") => default_route(via, to)?,
                _ => route_to(to, None, via, number(route.get("metric")))?,
            };
            add(said, via);
        }
        let yes = |name: &str| device.get(name).is_some_and(Yaml::is_true);
        if yes("dhcp4") {
            self.network(id, "ipv4_dhcp", dns.clone());
        }
        if yes("dhcp6") {
            self.network(id, "ipv6_dhcp", dns.clone());
        }
        for given in device.get("addresses").map_or(&[][..], Yaml::items) {
            let given = given.entries().first().map_or(given, |(address, _)| address);
            let (address, mask) = split_address(given, None)?;
            let routes = std::mem::take(if address.is_ipv4() {
                &mut routes.0
            } else {
                &mut routes.1
            });
            self.fixed(id, address, &mask, routes, dns.clone());
        }
        if !routes.0.is_empty() || !routes.1.is_empty() {
            return stop(
                device,
                "a route in network_data.json needs a fixed address of its family",
            );
        }
        Ok(())
    }
}

fn bond_parameter(link: &mut Map<String, Value>, key: &str, value: &Yaml) {
    let key = key
        .strip_prefix("bond-")
        .or_else(|| key.strip_prefix("bond_"))
        .unwrap_or(key);
    if let Some(text) = value.text() {
        link.insert(format!("bond_{}", key.replace('-', "_")), json!(text));
    }
}

fn services(more: &mut Map<String, Value>, servers: &[String], search: &[String]) {
    if !servers.is_empty() {
        let list: Vec<Value> = servers
            .iter()
            .map(|a| json!({ "type": "dns", "address": a }))
            .collect();
        more.insert("services".into(), list.into());
    }
    if !search.is_empty() {
        more.insert("dns_search".into(), json!(search));
    }
}

/// An address and its mask, in the notation of its family.
fn split_address(given: &Yaml, netmask: Option<&str>) -> std::result::Result<(IpAddr, String), Stop> {
    let whole = given.text().unwrap_or("");
    let (address, prefix) = match whole.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (whole, None),
    };
    let Ok(parsed) = address.parse::<IpAddr>() else {
        return stop(given, format!("{address:?} is no IP address"));
    };
    let mask = match (prefix.map(str::parse::<u8>), netmask) {
        (Some(Ok(prefix)), _) => mask(parsed, prefix),
        (None, Some(netmask)) => match netmask.parse::<u8>() {
            Ok(prefix) => mask(parsed, prefix),
            Err(_) => Some(netmask.to_string()),
        },
        _ => None,
    };
    match mask {
        Some(mask) => Ok((parsed, mask)),
        None => stop(given, format!("{whole} has no prefix length that fits")),
    }
}

/// The mask of a prefix length.
fn mask(family: IpAddr, prefix: u8) -> Option<String> {
    let ones = |width: u8| (prefix <= width).then(|| u32::from(width - prefix));
    match family {
        IpAddr::V4(_) => {
            let bits = u32::MAX.checked_shl(ones(32)?).unwrap_or(0);
            Some(std::net::Ipv4Addr::from(bits).to_string())
        }
        IpAddr::V6(_) => {
            let bits = u128::MAX.checked_shl(ones(128)?).unwrap_or(0);
            Some(std::net::Ipv6Addr::from(bits).to_string())
        }
    }
}

fn default_route(via: &str, at: &Yaml) -> std::result::Result<Value, Stop> {
    match via.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => Ok(json!({ "network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": via })),
        Ok(IpAddr::V6(_)) => Ok(json!({ "network": "::", "netmask": "::", "gateway": via })),
        Err(_) => stop(at, format!("{via:?} is no IP address")),
    }
}

fn route_to(
    to: &Yaml,
    netmask: Option<&str>,
    via: &str,
    metric: Option<u64>,
) -> std::result::Result<Value, Stop> {
    let (network, mask) = split_address(to, netmask)?;
    let mut route = json!({ "network": network.to_string(), "netmask": mask, "gateway": via });
    if let (Some(metric), Some(object)) = (metric, route.as_object_mut()) {
        object.insert("metric".into(), json!(metric));
    }
    Ok(route)
}
