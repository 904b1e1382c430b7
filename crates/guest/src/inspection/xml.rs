//! Inspections as XML, by the schema of virt-inspector (`virt-inspector.rng` of guestfs-tools).

use super::{Inspection, base64};
use crate::applications::Application;
use quick_xml::Writer;
use quick_xml::events::{BytesEnd, BytesStart, BytesText, Event};
use std::io::Result;

/// How wide a line of an icon is, in characters.
const ICON_LINE: usize = 72;

/// The distributions that the schema has, and those that libguestfs has come to know since.
const DISTRIBUTIONS: &[&str] = &[
    "alpinelinux",
    "altlinux",
    "anolis",
    "archlinux",
    "buildroot",
    "centos",
    "circle",
    "cirros",
    "coreos",
    "debian",
    "fedora",
    "freebsd",
    "freedos",
    "frugalware",
    "gentoo",
    "kalilinux",
    "kylin",
    "linuxmint",
    "mageia",
    "mandriva",
    "meego",
    "msdos",
    "neokylin",
    "netbsd",
    "openbsd",
    "openmandriva",
    "opensuse",
    "oraclelinux",
    "pardus",
    "pldlinux",
    "redhat-based",
    "rhel",
    "rocky",
    "scientificlinux",
    "slackware",
    "sles",
    "suse-based",
    "ttylinux",
    "ubuntu",
    "voidlinux",
    "windows",
];

pub(super) fn document(found: &[Inspection]) -> String {
    let mut xml = Document {
        writer: Writer::new_with_indent(Vec::new(), b' ', 2),
    };
    // Memory takes everything.
    let _ = xml.write(found);
    let text = String::from_utf8_lossy(&xml.writer.into_inner()).into_owned();
    format!("<?xml version=\"1.0\"?>\n{text}\n")
}

struct Document {
    writer: Writer<Vec<u8>>,
}

impl Document {
    fn write(&mut self, found: &[Inspection]) -> Result<()> {
        self.group("operatingsystems", found, Self::operating_system)
    }

    fn operating_system(&mut self, found: &Inspection) -> Result<()> {
        let name = |distro: &&str| DISTRIBUTIONS.contains(distro);
        let other = &found.in_xml;
        let distro = other.distro.or(found.distro.as_deref()).filter(name);
        let product_name = other.product_name.as_deref().or(found.product_name.as_deref());
        let osinfo = other.osinfo.as_deref().or(found.osinfo.as_deref());
        // What libguestfs knows of a distribution is what follows from its name.
        let by_name = |value: Option<&'static str>| value.filter(|_| distro.is_some());
        self.start("operatingsystem", &[])?;
        self.element("root", Some(&found.root))?;
        self.element("name", Some(found.system))?;
        self.element("arch", found.arch)?;
        self.element("distro", distro)?;
        self.element("product_name", product_name)?;
        self.element("product_variant", found.product_variant.as_deref())?;
        self.element("major_version", Some(&found.major_version.to_string()))?;
        self.element("minor_version", Some(&found.minor_version.to_string()))?;
        self.element("package_format", by_name(found.package_format))?;
        self.element("package_management", by_name(found.package_management))?;
        self.element("hostname", found.hostname.as_deref())?;
        self.element("osinfo", osinfo.filter(|_| distro.is_some()))?;
        self.group("mountpoints", &found.mountpoints, |xml, mount| {
            xml.with_attribute("mountpoint", ("dev", &mount.device), &mount.path)
        })?;
        self.group("filesystems", &found.filesystems, |xml, filesystem| {
            xml.start("filesystem", &[("dev", &filesystem.device)])?;
            let kind = Some(filesystem.kind.as_str()).filter(|kind| *kind != "unknown");
            xml.element("type", kind)?;
            xml.element("label", filesystem.label.as_deref())?;
            xml.element("uuid", filesystem.uuid.as_deref())?;
            xml.end("filesystem")
        })?;
        if let Some(applications) = &found.applications {
            let has_sources = found.package_format == Some("deb");
            self.group("applications", applications, |xml, application| {
                xml.application(application, has_sources)
            })?;
        }
        if let Some(icon) = &found.icon {
            self.start("icon", &[])?;
            let text = base64::encode(icon, ICON_LINE);
            self.writer
                .write_event(Event::Text(BytesText::from_escaped(text)))?;
            self.end("icon")?;
        }
        self.end("operatingsystem")
    }

    fn application(&mut self, application: &Application, has_sources: bool) -> Result<()> {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let epoch = (application.epoch != 0).then(|| application.epoch.to_string());
        let source = some(&application.source_package).filter(|_| has_sources);
        self.start("application", &[])?;
        self.element("name", Some(&application.name))?;
        self.element("epoch", epoch.as_deref())?;
        self.element("version", some(&application.version).as_deref())?;
        self.element("release", some(&application.release).as_deref())?;
        self.element("arch", some(&application.arch).as_deref())?;
        self.element("url", some(&application.url).as_deref())?;
        self.element("source_package", source.as_deref())?;
        self.element("summary", some(&application.summary).as_deref())?;
        self.element("description", some(&application.description).as_deref())?;
        self.end("application")
    }

    /// An element around those of a list; an empty one where the list is.
    fn group<T>(
        &mut self,
        name: &str,
        items: &[T],
        mut each: impl FnMut(&mut Self, &T) -> Result<()>,
    ) -> Result<()> {
        if items.is_empty() {
            return self.writer.write_event(Event::Empty(BytesStart::new(name)));
        }
        self.start(name, &[])?;
        for item in items {
            each(self, item)?;
        }
        self.end(name)
    }

    /// An element that holds text, if there is any.
    fn element(&mut self, name: &str, text: Option<&str>) -> Result<()> {
        match text {
            Some(text) => {
                self.start(name, &[])?;
                self.text(text)?;
                self.end(name)
            }
            None => Ok(()),
        }
    }

    fn with_attribute(&mut self, name: &str, attribute: (&str, &str), text: &str) -> Result<()> {
        self.start(name, &[attribute])?;
        self.text(text)?;
        self.end(name)
    }

    fn start(&mut self, name: &str, attributes: &[(&str, &str)]) -> Result<()> {
        let mut start = BytesStart::new(name);
        for (name, value) in attributes {
            start.push_attribute((*name, *value));
        }
        self.writer.write_event(Event::Start(start))
    }

    fn end(&mut self, name: &str) -> Result<()> {
        self.writer.write_event(Event::End(BytesEnd::new(name)))
    }

    fn text(&mut self, text: &str) -> Result<()> {
        self.writer
            .write_event(Event::Text(BytesText::from_escaped(escape(text))))
    }
}

/// Text with what XML gives a meaning written as references, as libxml2 does it. Characters that XML 1.0 does not have (section 2.2) are replaced.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\r' => out.push_str("&#13;"),
            '\n' | '\t' => out.push(character),
            '\0'..='\x1f' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}
