//! network-config: versions 1 and 2.
//!
//! The wrapper `network:` is taken off by cloud-init 22.2 and later whatever is in it; by older versions only around
//! version 1 (`DataSourceNoCloud.py`, `_maybe_remove_top_network`).

use crate::cloud_config::unknown_key;
use crate::diagnostic::Findings;
use crate::schema::{self, Schema};
use crate::yaml::{self, Type, Yaml};

/// Kinds of devices that version 2 has.
const V2_KINDS: &[&str] = &[
    "bonds",
    "bridges",
    "dummy-devices",
    "ethernets",
    "modems",
    "nm-devices",
    "openvswitch",
    "tunnels",
    "virtual-ethernets",
    "vlans",
    "vrfs",
    "wifis",
];
/// Further keys at the top of version 2.
const V2_TOP: &[&str] = &["renderer", "version"];
/// Keys of a device in version 2.
const V2_DEVICE: &[&str] = &[
    "accept-ra",
    "access-points",
    "activation-mode",
    "addresses",
    "addressing",
    "auth",
    "critical",
    "delay-virtual-functions-rebind",
    "dhcp-identifier",
    "dhcp4",
    "dhcp4-overrides",
    "dhcp6",
    "dhcp6-overrides",
    "embedded-switch-mode",
    "emit-lldp",
    "gateway4",
    "gateway6",
    "generic-receive-offload",
    "generic-segmentation-offload",
    "id",
    "ignore-carrier",
    "infiniband-mode",
    "interfaces",
    "ipv6-address-generation",
    "ipv6-address-token",
    "ipv6-mtu",
    "ipv6-privacy",
    "key",
    "keys",
    "large-receive-offload",
    "link",
    "link-local",
    "local",
    "macaddress",
    "mark",
    "match",
    "mode",
    "mtu",
    "nameservers",
    "openvswitch",
    "optional",
    "optional-addresses",
    "parameters",
    "peer",
    "peers",
    "port",
    "receive-checksum-offload",
    "regulatory-domain",
    "remote",
    "renderer",
    "routes",
    "routing-policy",
    "set-name",
    "table",
    "tcp-segmentation-offload",
    "tcp6-segmentation-offload",
    "transmit-checksum-offload",
    "ttl",
    "virtual-function-count",
    "wakeonlan",
    "wakeonwlan",
];
/// Types of items in version 1.
const V1_TYPES: &[&str] = &[
    "bond",
    "bridge",
    "infiniband",
    "loopback",
    "nameserver",
    "physical",
    "route",
    "vlan",
];
/// Types of subnets in version 1.
const V1_SUBNETS: &[&str] = &[
    "dhcp",
    "dhcp4",
    "dhcp6",
    "ipv6_dhcpv6-stateful",
    "ipv6_dhcpv6-stateless",
    "ipv6_slaac",
    "manual",
    "static",
    "static6",
];

/// What cloud-init takes in version 1 although its schema does not.
const V1_BEYOND_SCHEMA: &[&str] = &["metric", "accept-ra", "params"];

/// Checks a network-config document.
pub(crate) fn check(text: &str, findings: &mut Findings) {
    let Ok(root) = yaml::parse(text, findings) else {
        return;
    };
    let Some(root) = root else {
        findings.warning(
            "empty",
            (1, 1),
            "the document says nothing; cloud-init would use DHCP on the first device",
            None,
        );
        return;
    };
    if root.value_type() != Type::Mapping {
        let message = format!(
            "network-config is a mapping of keys, and this is {}",
            root.value_type().name()
        );
        findings.error("not-a-mapping", root.at, message, None);
        return;
    }
    let Some((key, inner)) = root.entry("network") else {
        check_config(&root, &root, findings);
        return;
    };
    if inner.value_type() != Type::Mapping {
        let message = format!(
            "the value of \"network\" should be a mapping, and this is {}",
            inner.value_type().name()
        );
        findings.error(
            "wrong-type",
            inner.at,
            message,
            "indent the lines below it".to_string(),
        );
        return;
    }
    for (other, _) in root.entries() {
        if let Some(name) = other.text().filter(|n| *n != "network") {
            let message = format!("{name:?} stands beside \"network\", and cloud-init would not see it");
            findings.error(
                "network-indentation",
                other.at,
                message,
                "indent it below \"network\"".to_string(),
            );
        }
    }
    let version = inner.get("version").and_then(Yaml::text);
    if version == Some("2") {
        findings.warning(
            "network-wrapper",
            key.at,
            "cloud-init before 22.2 ignores version 2 below a key \"network\"",
            "delete the line \"network:\" and indent the rest by one level less".to_string(),
        );
    }
    check_config(inner, &root, findings);
}

fn check_config(config: &Yaml, root: &Yaml, findings: &mut Findings) {
    if config.get("config").and_then(Yaml::text) == Some("disabled") {
        return;
    }
    let Some(version) = config.get("version") else {
        findings.error(
            "network-version",
            root.at,
            "no version is given; cloud-init would ignore the document",
            if config.get("config").is_some() {
                "add version: 1"
            } else {
                "add version: 2"
            }
            .to_string(),
        );
        return;
    };
    match (version.value_type(), version.text()) {
        (Type::Integer, Some("1")) => {
            check_v1(config, findings);
            schema::check(Schema::NetworkV1, root, V1_BEYOND_SCHEMA, findings);
        }
        (Type::Integer, Some("2")) => {
            check_v2(config, findings);
            schema::check(Schema::NetworkV2, root, &[V2_DEVICE, V2_KINDS].concat(), findings);
        }
        (Type::Text, Some("1" | "2")) => {
            let message = "the version is a text; cloud-init would ignore the document";
            findings.error(
                "network-version",
                version.at,
                message,
                "take the quotes away".to_string(),
            );
        }
        _ => {
            let message = "the version is neither 1 nor 2; cloud-init would ignore the document";
            findings.error("network-version", version.at, message, None);
        }
    }
}

fn check_v1(config: &Yaml, findings: &mut Findings) {
    let Some(list) = config.get("config") else {
        let message = "version 1 needs a list \"config\"";
        let kind = config
            .entries()
            .iter()
            .find(|(k, _)| k.text().is_some_and(|k| V2_KINDS.contains(&k)));
        let fix = kind.map(|_| "this looks like version 2: write version: 2".to_string());
        findings.error("network-config", config.at, message, fix);
        return;
    };
    if list.value_type() != Type::Sequence {
        let message = format!(
            "\"config\" should be a list, and this is {}",
            list.value_type().name()
        );
        findings.error("wrong-type", list.at, message, None);
        return;
    }
    for item in list.items() {
        if item.value_type() != Type::Mapping {
            let message = format!(
                "an item of \"config\" is a mapping, and this is {}",
                item.value_type().name()
            );
            findings.error("wrong-type", item.at, message, None);
            continue;
        }
        let Some((_, kind)) = item.entry("type") else {
            findings.error(
                "network-type",
                item.at,
                "an item without a type",
                "add type: physical".to_string(),
            );
            continue;
        };
        let name = kind.text().unwrap_or("");
        if !V1_TYPES.contains(&name) {
            let fix =
                crate::suggest::nearest(name, V1_TYPES.iter().copied()).map(|t| format!("did you mean {t}?"));
            findings.error("network-type", kind.at, format!("no type {name:?} exists"), fix);
        }
        if !matches!(name, "nameserver" | "route") && item.get("name").is_none() {
            findings.error(
                "network-name",
                item.at,
                "a device without a name",
                "add a key name".to_string(),
            );
        }
        let Some(subnets) = item.get("subnets") else {
            continue;
        };
        if subnets.value_type() != Type::Sequence {
            let message = format!(
                "\"subnets\" should be a list, and this is {}",
                subnets.value_type().name()
            );
            findings.error("wrong-type", subnets.at, message, None);
        }
        for subnet in subnets.items() {
            let Some(kind) = subnet.get("type") else {
                findings.error(
                    "network-subnet",
                    subnet.at,
                    "a subnet without a type",
                    "add type: dhcp or type: static".to_string(),
                );
                continue;
            };
            let name = kind.text().unwrap_or("");
            if !V1_SUBNETS.contains(&name) {
                let fix = crate::suggest::nearest(name, V1_SUBNETS.iter().copied())
                    .map(|t| format!("did you mean {t}?"));
                findings.error(
                    "network-subnet",
                    kind.at,
                    format!("no type of subnet {name:?} exists"),
                    fix,
                );
            }
            if matches!(name, "static" | "static6") {
                match subnet.get("address") {
                    None => findings.error(
                        "network-address",
                        subnet.at,
                        "a static subnet without an address",
                        None,
                    ),
                    Some(address) if subnet.get("netmask").is_none() => check_address(address, findings),
                    Some(_) => {}
                }
            }
        }
    }
}

fn check_v2(config: &Yaml, findings: &mut Findings) {
    for (key, value) in config.entries() {
        let Some(name) = key.text() else { continue };
        if V2_TOP.contains(&name) {
            continue;
        }
        if !V2_KINDS.contains(&name) {
            if name == "config" {
                let message = "\"config\" belongs to version 1";
                findings.error("network-config", key.at, message, "write version: 1".to_string());
            } else if value.value_type() == Type::Mapping || V2_DEVICE.contains(&name) {
                let place = " at the top; devices stand below \"ethernets\" and its like";
                match crate::suggest::nearest(name, V2_KINDS.iter().copied()) {
                    Some(_) => unknown_key(name, key, V2_KINDS.iter().copied(), place, findings),
                    None => {
                        let message =
                            format!("{name:?} stands at the top, where cloud-init would not see it");
                        findings.error(
                            "network-indentation",
                            key.at,
                            message,
                            "indent it below its kind of device (ethernets:)".to_string(),
                        );
                    }
                }
            } else {
                unknown_key(name, key, V2_KINDS.iter().copied(), " at the top", findings);
            }
            continue;
        }
        match value.value_type() {
            Type::Mapping => {
                for (device, settings) in value.entries() {
                    check_device(device, settings, findings);
                }
            }
            Type::Unknown => {}
            other => {
                let message = format!(
                    "{name:?} should be a mapping of devices, and this is {}",
                    other.name()
                );
                findings.error(
                    "network-indentation",
                    value.at,
                    message,
                    "indent the devices below it".to_string(),
                );
            }
        }
    }
}

fn check_device(device: &Yaml, settings: &Yaml, findings: &mut Findings) {
    let name = device.text().unwrap_or("");
    match settings.value_type() {
        Type::Mapping => {}
        Type::Unknown => return,
        found => {
            if V2_DEVICE.contains(&name) {
                let message = format!("{name:?} stands where a device's name should be");
                findings.error(
                    "network-indentation",
                    device.at,
                    message,
                    "indent it below the device".to_string(),
                );
            } else if found == Type::Null {
                findings.error(
                    "network-indentation",
                    device.at,
                    format!("the device {name:?} has no settings"),
                    "indent its settings below it".to_string(),
                );
            } else {
                let message = format!(
                    "the settings of {name:?} should be a mapping, and this is {}",
                    found.name()
                );
                findings.error("wrong-type", settings.at, message, None);
            }
            return;
        }
    }
    for (key, value) in settings.entries() {
        let Some(name) = key.text().filter(|n| *n != "<<") else {
            continue;
        };
        if !V2_DEVICE.contains(&name) {
            unknown_key(name, key, V2_DEVICE.iter().copied(), " of a device", findings);
            continue;
        }
        match name {
            "gateway4" | "gateway6" => {
                findings.warning(
                    "gateway-deprecated",
                    key.at,
                    format!("{name} is deprecated, and netplan warns of it"),
                    "write routes: with \"to: default\" and \"via:\"".to_string(),
                );
            }
            "dhcp4" | "dhcp6" if !matches!(value.value_type(), Type::Boolean | Type::Unknown) => {
                let message = format!(
                    "{name} should be true or false, and this is {}",
                    value.value_type().name()
                );
                findings.error("wrong-type", value.at, message, None);
            }
            "addresses" | "routes" | "interfaces"
                if !matches!(value.value_type(), Type::Sequence | Type::Unknown) =>
            {
                let message = format!(
                    "{name} should be a list, and this is {}",
                    value.value_type().name()
                );
                findings.error(
                    "wrong-type",
                    value.at,
                    message,
                    "write [a, b], or each item after \"- \"".to_string(),
                );
            }
            "addresses" => {
                for address in value.items() {
                    let address = match address.entries().first() {
                        Some((with_options, _)) => with_options,
                        None => address,
                    };
                    check_address(address, findings);
                }
            }
            "match" | "nameservers" if !matches!(value.value_type(), Type::Mapping | Type::Unknown) => {
                let message = format!(
                    "{name} should be a mapping, and this is {}",
                    value.value_type().name()
                );
                findings.error("wrong-type", value.at, message, None);
            }
            "match" => {
                if let Some(mac) = value.get("macaddress") {
                    check_mac(mac, findings);
                }
            }
            "macaddress" => check_mac(value, findings),
            _ => {}
        }
    }
}

/// An address with a prefix length.
fn check_address(value: &Yaml, findings: &mut Findings) {
    let Some(text) = value.text() else { return };
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let Ok(parsed) = address.parse::<std::net::IpAddr>() else {
        findings.error(
            "network-address",
            value.at,
            format!("{address:?} is no IP address"),
            None,
        );
        return;
    };
    let most = if parsed.is_ipv4() { 32 } else { 128 };
    match prefix.map(str::parse::<u8>) {
        None => {
            let example = if most == 32 { 24 } else { 64 };
            findings.error(
                "network-address",
                value.at,
                format!("{text} has no prefix length"),
                format!("write {text}/{example}"),
            );
        }
        Some(Ok(len)) if len <= most => {}
        Some(_) => {
            let message = format!("{text}: the prefix length is not 0 to {most}");
            findings.error("network-address", value.at, message, None);
        }
    }
}

/// YAML 1.1 reads some MAC addresses as numbers of base 60.
fn check_mac(value: &Yaml, findings: &mut Findings) {
    let Some(text) = value.text() else { return };
    let plain = matches!(&value.value, yaml::Value::Scalar { plain: true, .. });
    let groups: Vec<&str> = text.split(':').collect();
    let is_mac = groups.len() == 6
        && groups
            .iter()
            .all(|g| g.len() == 2 && g.chars().all(|c| c.is_ascii_hexdigit()));
    if !is_mac {
        findings.warning(
            "network-mac",
            value.at,
            format!("{text:?} is no MAC address"),
            None,
        );
    } else if plain && groups.iter().all(|g| g.chars().all(|c| c.is_ascii_digit())) && base_60(&groups) {
        let message = "without quotes YAML reads this MAC address as a number of base 60";
        findings.error("network-mac", value.at, message, format!("write \"{text}\""));
    } else if text.chars().any(|c| c.is_ascii_uppercase()) {
        let message = "cloud-init compares MAC addresses in lower case";
        findings.warning(
            "network-mac",
            value.at,
            message,
            format!("write {}", text.to_ascii_lowercase()),
        );
    }
}

/// Whether the groups are digits of base 60 (YAML 1.1, `[1-9][0-9_]*(:[0-5]?[0-9])+`).
fn base_60(groups: &[&str]) -> bool {
    groups.first().is_some_and(|g| !g.starts_with('0'))
        && groups
            .iter()
            .skip(1)
            .all(|g| g.starts_with(['0', '1', '2', '3', '4', '5']))
}
