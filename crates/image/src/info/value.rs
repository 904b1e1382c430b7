//! `info` as JSON, in qemu-img's schema and order of members.

use super::{ChildInfo, ImageInfo, SnapshotInfo};
use crate::json::pretty_json;
use serde_json::{Map, Value, json};

impl ImageInfo {
    /// The object that `qemu-img info --output=json` prints for this image.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut out = Map::new();
        let mut put = |key: &str, value: Value| {
            out.insert(key.into(), value);
        };
        put("children", self.children.iter().map(child).collect());
        if let Some(format) = self.backing.as_ref().and_then(|b| b.format.as_ref()) {
            put("backing-filename-format", json!(format));
        }
        if !self.snapshots.is_empty() {
            put("snapshots", self.snapshots.iter().map(snapshot).collect());
        }
        put("virtual-size", json!(self.virtual_size));
        put("filename", json!(self.filename));
        if let Some(size) = self.cluster_size {
            put("cluster-size", json!(size));
        }
        put("format", json!(self.format));
        if let Some(size) = self.actual_size {
            put("actual-size", json!(size));
        }
        if let Some(specific) = &self.format_specific {
            put(
                "format-specific",
                json!({"type": specific.kind, "data": specific.data}),
            );
        }
        if let Some(backing) = &self.backing {
            put("full-backing-filename", json!(backing.full_filename));
        }
        if self.encrypted {
            put("encrypted", json!(true));
        }
        if let Some(backing) = &self.backing {
            put("backing-filename", json!(backing.filename));
        }
        put("dirty-flag", json!(self.dirty));
        Value::Object(out)
    }

    /// The text that `qemu-img info --output=json` prints, with the newline at its end.
    #[must_use]
    pub fn to_json(&self) -> String {
        pretty_json(&self.to_value()) + "\n"
    }

    /// The text that `qemu-img info --backing-chain --output=json` prints.
    #[must_use]
    pub fn chain_to_json(chain: &[Self]) -> String {
        pretty_json(&chain.iter().map(Self::to_value).collect()) + "\n"
    }
}

fn child(child: &ChildInfo) -> Value {
    let mut info = Map::new();
    info.insert("children".into(), json!([]));
    info.insert("virtual-size".into(), json!(child.length));
    info.insert("filename".into(), json!(child.filename));
    info.insert("format".into(), json!(child.driver));
    if let Some(size) = child.actual_size {
        info.insert("actual-size".into(), json!(size));
    }
    if child.driver == "file" {
        info.insert("format-specific".into(), json!({"type": "file", "data": {}}));
    }
    info.insert("dirty-flag".into(), json!(false));
    json!({"name": child.name, "info": info})
}

fn snapshot(snapshot: &SnapshotInfo) -> Value {
    let mut out = Map::new();
    if let Some(icount) = snapshot.icount {
        out.insert("icount".into(), json!(icount));
    }
    out.insert(
        "vm-clock-nsec".into(),
        json!(snapshot.vm_clock_nsec % 1_000_000_000),
    );
    out.insert("name".into(), json!(snapshot.name));
    out.insert("date-sec".into(), json!(snapshot.date_sec));
    out.insert("date-nsec".into(), json!(snapshot.date_nsec));
    out.insert(
        "vm-clock-sec".into(),
        json!(snapshot.vm_clock_nsec / 1_000_000_000),
    );
    out.insert("id".into(), json!(snapshot.id));
    out.insert("vm-state-size".into(), json!(snapshot.vm_state_size));
    Value::Object(out)
}
