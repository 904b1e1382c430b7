//! Any bytes as the documents of a seed: looked through, shown, put into every kind of image; and as a template, a table, a volume.

#![no_main]

use disksmith_seed::{
    BuildOptions, ConfigDrive, Contents, Document, DocumentKind, GuestSystem, MediaFormat, NoCloud, Row, Template, check,
    check_document, read_csv, read_json_lines, show,
};
use disksmith_storage::{Memory, StorageRef};
use std::sync::Arc;
use disksmith_vfs::Timestamp;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let document = || Some(Document::new("fuzzed", data));
    let seed = NoCloud {
        user_data: document(),
        meta_data: document(),
        network_config: document(),
        vendor_data: document(),
        ..NoCloud::default()
    };
    let _ = seed.validate();
    let options = BuildOptions { validate: false, ..BuildOptions::new(Timestamp::default()) };
    let _ = seed.build(&options);
    let document = Document::new("fuzzed", data);
    for guest in [GuestSystem::CloudInit, GuestSystem::CloudbaseInit] {
        for kind in [
            DocumentKind::of(&document),
            DocumentKind::UserData,
            DocumentKind::MetaData,
            DocumentKind::NetworkConfig,
            DocumentKind::MetaDataJson,
            DocumentKind::NetworkDataJson,
        ] {
            let _ = check_document(&document, kind, guest, disksmith_seed::Version::parse("18.2"));
        }
        let drive = ConfigDrive {
            guest,
            user_data: Some(document.clone()),
            network_data: Some(document.clone()),
            vendor_data: Some(document.clone()),
            ..ConfigDrive::default()
        };
        let vfat = BuildOptions { format: MediaFormat::Vfat, ..options.clone() };
        let _ = drive.build(&vfat);
    }
    let _ = show("fuzzed", data);
    let _ = Template::parse(data).fill(&Row::default());
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = read_csv(text);
        let _ = read_json_lines(text);
    }
    let storage: StorageRef = Arc::new(Memory::from_bytes(data));
    if let Ok(contents) = Contents::of_disk("fuzzed", &storage) {
        let _ = check(&contents, GuestSystem::CloudInit, None);
    }
});
