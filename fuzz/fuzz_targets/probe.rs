//! Any bytes as whatever filesystem they look like.

#![no_main]

use disksmith_fs::probe;
use disksmith_storage::{Memory, StorageRef};
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;

fuzz_target!(|data: &[u8]| {
    let storage: StorageRef = Arc::new(Memory::from_bytes(data));
    let _ = probe(&storage);
});
