//! Good and bad documents, and where the faults in them are.

use disksmith_seed::{Document, NoCloud, Severity};

/// A finding: severity, code, line, column.
type Finding = (Severity, &'static str, usize, usize);

const E: Severity = Severity::Error;
const W: Severity = Severity::Warning;
const N: Severity = Severity::Note;

/// What the rules of our own find; cloud-init's schema has tests of its own.
fn found(seed: &NoCloud) -> Vec<Finding> {
    seed.validate()
        .iter()
        .filter(|d| d.code != "schema")
        .map(|d| (d.severity, d.code, d.line, d.column))
        .collect()
}

fn user_data(text: &[u8]) -> NoCloud {
    NoCloud {
        user_data: Some(Document::new("user-data", text)),
        ..NoCloud::default()
    }
}

#[track_caller]
fn table(make: fn(&[u8]) -> NoCloud, rows: &[(&[u8], &[Finding])]) {
    for (text, expected) in rows {
        let seed = make(text);
        assert_eq!(
            found(&seed),
            *expected,
            "{}\n{:#?}",
            String::from_utf8_lossy(text),
            seed.validate()
        );
    }
}

#[test]
fn headers() {
    table(
        user_data,
        &[
            (b"#cloud-config\nhostname: a\n", &[]),
            (b"#cloud-config\r\nhostname: a\r\n", &[]),
            (b"#!/bin/sh\necho hello\n", &[]),
            (b"#include\nhttps://example.com/a\n", &[]),
            (b"#include-once https://example.com/a\n", &[]),
            (b"#cloud-boothook\n#!/bin/sh\necho early\n", &[]),
            (b"#part-handler\ndef list_types(): return []\n", &[]),
            (b"## template: jinja\n#cloud-config\nhostname: {{ v1.name }}\n", &[]),
            (b"#cloud-config-archive\n- type: text/cloud-config\n  content: |\n    hostname: a\n- \"#!/bin/sh\\n\"\n", &[]),
            (b"", &[(N, "empty", 1, 1)]),
            (b"\n\n", &[(E, "header-missing", 1, 1)]),
            (b"hostname: a\n", &[(E, "header-missing", 1, 1)]),
            (b"echo hello\n", &[(E, "header-missing", 1, 1)]),
            (b"# cloud-config\nhostname: a\n", &[(E, "header-unknown", 1, 1)]),
            (b"#cloud_config\nhostname: a\n", &[(E, "header-unknown", 1, 1)]),
            (b"#clod-config\nhostname: a\n", &[(E, "header-unknown", 1, 1)]),
            (b"#cloud-configs\nhostname: a\n", &[(E, "header-unknown", 1, 1)]),
            (b"\n#cloud-config\nhostname: a\n", &[(E, "header-not-first", 1, 1)]),
            (b"# mine\n#cloud-config\nhostname: a\n", &[(E, "header-not-first", 1, 1)]),
            (b"---\n#cloud-config\nhostname: a\n", &[(E, "header-not-first", 1, 1)]),
            (b" #cloud-config\nhostname: a\n", &[(E, "header-indented", 1, 1)]),
            (b"\xEF\xBB\xBF#cloud-config\nhostname: a\n", &[(E, "byte-order-mark", 1, 1)]),
            (b"#cloud-config  \nhostname: a\n", &[(W, "header-trailing-space", 1, 14)]),
            (b"#Cloud-Config\nhostname: a\n", &[(W, "header-case", 1, 1)]),
            (b"#!/bin/sh\r\necho hello\r\n", &[(E, "shebang-crlf", 1, 10)]),
            (b"\n#!/bin/sh\necho\n", &[(E, "header-not-first", 1, 1)]),
            (b"#!\necho\n", &[(E, "shebang-empty", 1, 1)]),
            (b"#!bash\necho\n", &[(E, "shebang-relative", 1, 3)]),
            (b"#cloud-boothook\n#!/bin/sh\r\necho\r\n", &[(E, "shebang-crlf", 2, 10)]),
            (b"#include\n", &[(E, "include-empty", 1, 1)]),
            (b"#include\nnot-a-url\n", &[(E, "include-url", 2, 1)]),
            (b"#upstart-job\nx\n", &[(E, "upstart-job", 1, 1)]),
            (b"## template: jinja\nhostname: a\n", &[(E, "template-header", 2, 1)]),
            (b"## template: jinja\n\n#cloud-config\n", &[(E, "template-header", 2, 1)]),
            (b"## template: jinja\n#cloud-config\nrumcmd: []\n", &[(W, "unknown-key", 3, 1)]),
            (b"#cloud-config\nhostname: \xFF\n", &[(E, "encoding", 2, 11)]),
            (b"#cloud-config-archive\nhostname: a\n", &[(E, "archive-type", 2, 1)]),
            (b"#cloud-config-archive\n- content: hello\n", &[(E, "archive-item", 2, 12)]),
        ],
    );
}

#[test]
fn yaml() {
    table(
        user_data,
        &[
            (b"#cloud-config\n", &[(N, "empty", 1, 1)]),
            (
                b"#cloud-config\nusers:\n  - name: a\n\tgroups: b\n",
                &[(E, "yaml-tab", 4, 1)],
            ),
            (b"#cloud-config\nhostname:\ta\n", &[(E, "yaml-tab", 2, 10)]),
            (
                b"#cloud-config\nwrite_files:\n- path: /a\n  content: |\n    all:\n    \techo a\tb\n",
                &[],
            ),
            (
                b"#cloud-config\nhostname: a\nhostname: b\n",
                &[(E, "yaml-duplicate-key", 3, 1)],
            ),
            (
                b"#cloud-config\nusers:\n- name: a\n  shell: /bin/sh\n  shell: /bin/bash\n",
                &[
                    (N, "users-without-default", 2, 1),
                    (E, "yaml-duplicate-key", 5, 3),
                ],
            ),
            (b"#cloud-config\n- a\n- b\n", &[(E, "not-a-mapping", 2, 1)]),
            (b"#cloud-config\njust text\n", &[(E, "not-a-mapping", 2, 1)]),
            (
                b"#cloud-config\na: 1\n---\nb: 2\n",
                &[(E, "yaml-documents", 3, 1)],
            ),
            (
                b"#cloud-config\nx: &a [1, 2]\nruncmd: *a\n",
                &[(W, "unknown-key", 2, 1)],
            ),
        ],
    );
    // Where exactly a parser stops is its own affair; the line is right, and there is one finding.
    for (text, line) in [
        ("#cloud-config\nhostname: a\n  fqdn: b\n", 3),
        ("#cloud-config\npackages: [a, b\nhostname: x\n", 3),
        ("#cloud-config\nruncmd:\n - \"echo a\n - echo b\n", 3),
        ("#cloud-config\nfinal_message: \"a\" b\n", 2),
        ("#cloud-config\nhostname: @a\n", 2),
        ("#cloud-config\nfinal_message: a: b\n", 2),
    ] {
        let findings = user_data(text.as_bytes()).validate();
        assert_eq!(findings.len(), 1, "{text}: {findings:#?}");
        assert_eq!(
            (findings[0].severity, findings[0].code),
            (E, "yaml-syntax"),
            "{text}: {findings:#?}"
        );
        assert!(findings[0].line.abs_diff(line) <= 1, "{text}: {findings:#?}");
    }
    let deep = format!("#cloud-config\na: {}{}", "[".repeat(200), "]".repeat(200));
    assert_eq!(found(&user_data(deep.as_bytes()))[0].1, "yaml-depth");
    let deeper = format!("#cloud-config\na: {}", "[".repeat(100_000));
    assert_eq!(found(&user_data(deeper.as_bytes()))[0].1, "yaml-syntax");
}

#[test]
fn cloud_config() {
    table(
        user_data,
        &[
            (b"#cloud-config\nrumcmd:\n- ls\n", &[(W, "unknown-key", 2, 1)]),
            (b"#cloud-config\nruncmd: ls\n", &[(E, "wrong-type", 2, 9)]),
            (b"#cloud-config\npackages:\nhostname: a\n", &[(W, "value-missing", 2, 9)]),
            (b"#cloud-config\npackages: nginx\n", &[(E, "wrong-type", 2, 11)]),
            (b"#cloud-config\npackage_update: \"true\"\n", &[(W, "wrong-type", 2, 17)]),
            (b"#cloud-config\npackage_update: yes\n", &[]),
            (b"#cloud-config\nruncmd:\n- ls\n- echo key: value\n", &[(E, "command-mapping", 4, 3)]),
            (b"#cloud-config\nruncmd:\n- [ls, -l]\n- 'echo key: value'\n-\n", &[(W, "command-empty", 5, 2)]),
            (b"#cloud-config\nusers:\n- default\n- name: a\n  sudo: ALL=(ALL) NOPASSWD:ALL\n", &[]),
            (b"#cloud-config\nusers:\n- name: a\n", &[(N, "users-without-default", 2, 1)]),
            (b"#cloud-config\nusers:\n- default\n- shell: /bin/sh\n", &[(E, "user-without-name", 4, 3)]),
            (b"#cloud-config\nusers:\n- default\n- name: a\n  shel: /bin/sh\n", &[(W, "unknown-key", 5, 3)]),
            (b"#cloud-config\nusers:\n- default\n- name: a\n  plain_text_passwd: x\n  lock_passwd: false\n", &[(W, "plain-text-password", 5, 3)]),
            (b"#cloud-config\nusers:\n- default\n- name: a\n  passwd: secret\n  lock_passwd: false\n", &[(E, "password-not-hashed", 5, 11)]),
            (b"#cloud-config\nusers:\n- default\n- name: a\n  passwd: $6$x$y\n", &[(W, "password-locked", 5, 3)]),
            (b"#cloud-config\npassword: secret\n", &[(W, "plain-text-password", 2, 1)]),
            (b"#cloud-config\npassword: $6$a$b\n", &[]),
            (b"#cloud-config\npassword: $y$j9T$a$b\n", &[(E, "password-scheme", 2, 1)]),
            (b"#cloud-config\nchpasswd:\n  list: ['root:$y$j9T$a$b', 'a:R']\n", &[(E, "password-scheme", 3, 3)]),
            (b"#cloud-config\nchpasswd:\n  list: |\n    root:secret\n", &[(W, "plain-text-password", 3, 3)]),
            (b"#cloud-config\nwrite_files:\n- content: a\n", &[(E, "file-without-path", 3, 3)]),
            (b"#cloud-config\nwrite_files:\n- path: a\n", &[(W, "file-path", 3, 9)]),
            (b"#cloud-config\nwrite_files:\n- path: /a\n  permissions: 644\n", &[(E, "file-permissions", 4, 16)]),
            (b"#cloud-config\nwrite_files:\n- path: /a\n  permissions: '0644'\n  owner: root:root\n", &[]),
            (b"#cloud-config\nnetwork:\n  version: 2\n", &[(W, "network-in-user-data", 2, 1)]),
        ],
    );
}

#[test]
fn mime_archives() {
    const HEAD: &str = "Content-Type: multipart/mixed; boundary=\"==B==\"\nMIME-Version: 1.0\n\n";
    let part =
        |kind: &str, body: &str| format!("--==B==\nContent-Type: {kind}\nMIME-Version: 1.0\n\n{body}\n");
    let check = |text: &str, expected: &[Finding]| {
        assert_eq!(found(&user_data(text.as_bytes())), expected, "{text}");
    };
    let good = format!(
        "{HEAD}{}{}--==B==--\n",
        part("text/cloud-config", "hostname: a"),
        part("text/x-shellscript", "#!/bin/sh\nls")
    );
    check(&good, &[]);
    let bad = format!(
        "{HEAD}{}{}--==B==--\n",
        part("text/cloud-config", "hostname: a"),
        part("text/cloud-config", "rumcmd: []")
    );
    check(&bad, &[(W, "unknown-key", 13, 1)]);
    check(
        &format!("{HEAD}{}--==B==--\n", part("text/cloud-cfg", "a: b")),
        &[(W, "mime-type", 5, 1)],
    );
    check(
        &format!("{HEAD}{}", part("text/x-shellscript", "#!/bin/sh")),
        &[(W, "mime-end", 9, 1)],
    );
    check(HEAD, &[(E, "mime-boundary", 1, 1)]);
    check(
        "Content-Type: multipart/mixed; boundary=\"b\"\n\n--b\n",
        &[(E, "mime-version-missing", 1, 1)],
    );
}

fn network(text: &[u8]) -> NoCloud {
    NoCloud {
        network_config: Some(Document::new("network-config", text)),
        ..NoCloud::default()
    }
}

#[test]
fn network_config() {
    table(
        network,
        &[
            (b"version: 2\nethernets:\n  eth0:\n    dhcp4: true\n", &[]),
            (b"version: 2\nethernets:\n  lan:\n    match: {macaddress: '52:54:00:12:34:56'}\n    addresses: [10.0.0.5/24, 'fe80::1/64']\n    routes: [{to: default, via: 10.0.0.1}]\n", &[]),
            (b"version: 1\nconfig:\n- type: physical\n  name: eth0\n  subnets:\n  - type: dhcp\n", &[]),
            (b"network:\n  version: 1\n  config: []\n", &[]),
            (b"network: {config: disabled}\n", &[]),
            (b"network:\n  version: 2\n  ethernets: {}\n", &[(W, "network-wrapper", 1, 1)]),
            (b"ethernets:\n  eth0:\n    dhcp4: true\n", &[(E, "network-version", 1, 1)]),
            (b"version: \"2\"\nethernets: {}\n", &[(E, "network-version", 1, 10)]),
            (b"version: 3\n", &[(E, "network-version", 1, 10)]),
            (b"version: 2\nethernets:\n  eth0:\n    gateway4: 10.0.0.1\n", &[(W, "gateway-deprecated", 4, 5)]),
            (b"version: 2\nethernets:\neth0:\n  dhcp4: true\n", &[(E, "network-indentation", 2, 10), (E, "network-indentation", 3, 1)]),
            (b"version: 2\nethernets:\n  eth0:\n  dhcp4: true\n", &[(E, "network-indentation", 3, 3), (E, "network-indentation", 4, 3)]),
            (b"version: 2\nethernet:\n  eth0:\n    dhcp4: true\n", &[(W, "unknown-key", 2, 1)]),
            (b"version: 2\nethernets:\n  eth0:\n    dhcp: true\n", &[(W, "unknown-key", 4, 5)]),
            (b"version: 2\nethernets:\n  eth0:\n    dhcp4: maybe\n", &[(E, "wrong-type", 4, 12)]),
            (b"version: 2\nethernets:\n  eth0:\n    addresses: 10.0.0.5/24\n", &[(E, "wrong-type", 4, 16)]),
            (b"version: 2\nethernets:\n  eth0:\n    addresses: [10.0.0.5]\n", &[(E, "network-address", 4, 17)]),
            (b"version: 2\nethernets:\n  eth0:\n    addresses: [10.0.0.500/24, 10.0.0.1/33]\n", &[(E, "network-address", 4, 17), (E, "network-address", 4, 32)]),
            (b"version: 2\nethernets:\n  eth0:\n    match:\n      macaddress: 52:54:00:12:34:56\n", &[(E, "network-mac", 5, 19)]),
            (b"version: 2\nconfig: []\n", &[(E, "network-config", 2, 1)]),
            (b"version: 1\nethernets: {}\n", &[(E, "network-config", 1, 1)]),
            (b"version: 1\nconfig:\n- type: phyiscal\n  name: eth0\n- name: eth1\n", &[(E, "network-type", 3, 9), (E, "network-type", 5, 3)]),
            (b"version: 1\nconfig:\n- type: physical\n  name: eth0\n  subnets:\n  - type: static\n    address: 10.0.0.5\n", &[(E, "network-address", 7, 14)]),
            (b"- a\n", &[(E, "not-a-mapping", 1, 1)]),
            (b"version: 2\nethernets:\n\teth0: {}\n", &[(E, "yaml-tab", 3, 1)]),
        ],
    );
}

fn meta(text: &[u8]) -> NoCloud {
    NoCloud {
        meta_data: Some(Document::new("meta-data", text)),
        ..NoCloud::default()
    }
}

#[test]
fn meta_data() {
    table(
        meta,
        &[
            (b"", &[]),
            (b"instance-id: iid-1\nlocal-hostname: a\n", &[]),
            (b"{\"instance-id\": \"iid-1\"}\n", &[]),
            (b"local-hostname: a\n", &[]),
            (b"instance-id: 17\n", &[(W, "instance-id", 1, 14)]),
            (b"instance-id:\n", &[(E, "instance-id", 1, 12)]),
            (b"instance-id: [a]\n", &[(E, "instance-id", 1, 14)]),
            (b"instance_id: a\n", &[(E, "instance-id", 1, 1)]),
            (b"local-hostnam: a\n", &[(W, "unknown-key", 1, 1)]),
            (b"dsmode: disabled\n", &[(W, "dsmode", 1, 9)]),
            (b"- a\n", &[(E, "not-a-mapping", 1, 1)]),
            (b"instance-id: a\n\tx: b\n", &[(E, "yaml-tab", 2, 1)]),
        ],
    );
}

#[test]
fn findings_say_where_and_what_to_do() {
    let shown = user_data(b"#cloud-config\nrumcmd: []\n").validate()[0].to_string();
    assert_eq!(
        shown,
        "user-data:2:1: warning: cloud-init knows no key \"rumcmd\" [unknown-key] (did you mean runcmd?)"
    );
    let fix = user_data(b"hostname: a\n").validate()[0].fix.clone();
    assert_eq!(fix.as_deref(), Some("put #cloud-config on line 1"));
}

/// The documents of an archive are looked into, and their lines are those of the archive.
#[test]
fn archives_are_looked_into() {
    table(
        user_data,
        &[
            (
                b"#cloud-config-archive\n- |\n  #cloud-config\n  runcmd: 5\n",
                &[(E, "wrong-type", 4, 9)],
            ),
            (
                b"#cloud-config-archive\n- type: text/cloud-config\n  content: |\n    bogus_key: 1\n",
                &[(W, "unknown-key", 4, 1)],
            ),
            (
                b"#cloud-config-archive\n- |\n  #!/bin/sh\n  true\n- \"#!sh\\ntrue\\n\"\n",
                &[(E, "shebang-relative", 5, 3)],
            ),
            (
                b"#cloud-config-archive\n- |\n  nothing\n",
                &[(E, "archive-item", 3, 3)],
            ),
        ],
    );
}
