//! What only LUKS headers have: the members of `format-specific`, as QEMU names and orders them.

use disksmith_luks::{Header, IvAlgorithm, SECTOR};
use serde_json::{Map, Value, json};

/// The members for a header. In a qcow2 image they stand in `encrypt`, with its `format` among them.
pub(super) fn luks_data(header: &Header, in_qcow2: bool) -> Value {
    let mut out = Map::new();
    let mut put = |key: &str, value: Value| {
        out.insert(key.into(), value);
    };
    put("ivgen-alg", json!(header.spec.iv.name()));
    put("detached-header", json!(header.payload_sector == 0));
    put("hash-alg", json!(header.hash.name()));
    put("cipher-alg", json!(header.spec.cipher.name()));
    put("uuid", json!(header.uuid));
    if let Some(hash) = header
        .spec
        .iv_hash
        .filter(|_| header.spec.iv == IvAlgorithm::Essiv)
    {
        put("ivgen-hash-alg", json!(hash.name()));
    }
    if in_qcow2 {
        put("format", json!("luks"));
    }
    put("cipher-mode", json!(header.spec.mode.name()));
    let slots = header.slots.iter().map(|slot| {
        let key_offset = u64::from(slot.material_sector) * SECTOR;
        if slot.is_active() {
            json!({
                "active": true,
                "iters": slot.rounds,
                "key-offset": key_offset,
                "stripes": slot.stripes,
            })
        } else {
            json!({"active": false, "key-offset": key_offset})
        }
    });
    put("slots", slots.collect());
    put("payload-offset", json!(header.payload_offset()));
    put("master-key-iters", json!(header.digest_rounds));
    Value::Object(out)
}
