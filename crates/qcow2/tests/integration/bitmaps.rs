//! Persistent dirty bitmaps survive a change, with the bits of what changed.

use crate::judge;
use disksmith_storage::{Shadow, Storage};

#[test]
fn a_changed_image_keeps_its_bitmaps_and_their_bits() {
    if !judge::available() {
        return;
    }
    for shadowed in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.qcow2");
        let name = path.to_str().unwrap();
        judge::qemu_img(&["create", "-q", "-f", "qcow2", name, "64M"]);
        judge::qemu_img(&["bitmap", "--add", name, "auto"]);
        judge::qemu_img(&["bitmap", "--add", "--disable", name, "off"]);
        judge::qemu_io(&path, &["write -P 1 0 1M".into()]);
        let image = judge::open(&path, true);
        assert_eq!(image.bitmaps().unwrap().len(), 2);
        if shadowed {
            let shadow: Box<dyn Shadow> = image.shadow().unwrap();
            shadow.write_at(8 << 20, &[5; 100_000]).unwrap();
            shadow.prepare().unwrap().switch().unwrap();
        } else {
            image.write_at(8 << 20, &[5; 100_000]).unwrap();
            image.flush().unwrap();
        }
        drop(image);
        judge::assert_clean(&path);
        let info = judge::qemu_img(&["info", "--output", "json", name]);
        assert!(info.contains("\"auto\"") && info.contains("\"off\""), "{info}");
        // Merged into a new bitmap by the other program, the bits are there.
        judge::qemu_img(&["bitmap", "--add", "--merge", "auto", name, "copy"]);
        judge::assert_clean(&path);
    }
}
