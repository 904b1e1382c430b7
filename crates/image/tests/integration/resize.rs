//! `resize`, judged by qemu-img.

use crate::judge::{assert_clean, directory, have, qemu_img, qemu_io};
use disksmith_image::{Error, NewSize, ResizeOptions, resize};

#[test]
fn sizes_change_both_ways() {
    if !have("qemu-img") {
        return;
    }
    let dir = directory();
    let dir = dir.path();
    qemu_img(dir, "create -q -f raw a.raw 3M");
    qemu_img(dir, "create -q -f qcow2 -o cluster_size=4k a.qcow2 3M");
    for (name, format) in [("a.raw", "raw"), ("a.qcow2", "qcow2")] {
        qemu_io(dir, format, name, &["write -P 5 0 3M"]);
        let path = dir.join(name);
        let to = |size, shrink| {
            resize(
                &path,
                size,
                &ResizeOptions {
                    shrink,
                    ..Default::default()
                },
            )
        };
        assert_eq!(to(NewSize::Grow(700 << 20), false).unwrap(), 703 << 20);
        qemu_io(dir, format, name, &["read -P 5 0 3M", "read -P 0 3M 700M"]);
        assert!(matches!(
            to(NewSize::To(1 << 20), false),
            Err(Error::BadOption(_))
        ));
        assert_eq!(to(NewSize::To((1 << 20) + 1), true).unwrap(), (1 << 20) + 512);
        assert_eq!(to(NewSize::To(5 << 20), false).unwrap(), 5 << 20);
        qemu_io(
            dir,
            format,
            name,
            &["read -P 5 0 1049088", "read -P 0 1049088 4193792"],
        );
        assert!(matches!(
            to(NewSize::Shrink(6 << 20), true),
            Err(Error::BadOption(_))
        ));
        assert!(matches!(
            to(NewSize::Grow(u64::MAX), true),
            Err(Error::BadOption(_))
        ));
    }
    assert_clean(&dir.join("a.qcow2"));
}
