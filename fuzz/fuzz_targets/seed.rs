//! Any bytes as the documents of a seed: looked through, and put into an image.

#![no_main]

use disksmith_seed::{BuildOptions, Document, NoCloud};
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
});
